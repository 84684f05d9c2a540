"""The network of a rental: its shape, its life, and what happens when it is taken away."""

import asyncio
import ipaddress

import pytest

from dcompute_agent.runtime.base import Container, FaultKind, RuntimeFault
from dcompute_agent.runtime.docker import DockerRuntime, DockerSettings
from dcompute_agent.runtime.names import bridge_name, network_name

from .lab import KEY, DockerLab

pytestmark = pytest.mark.docker

GRACE_S = 5


async def networks_of(lab: DockerLab) -> list[str]:
    found = await lab.docker.networks.list(filters={"label": [f"dc.node={lab.node_id}"]})
    return sorted(str(network["Name"]) for network in found)


async def remove_network(lab: DockerLab, rental_id: str) -> None:
    await (await lab.docker.networks.get(network_name(rental_id))).delete()


async def test_every_rental_has_a_small_bridge_of_its_own(docker_lab: DockerLab) -> None:
    first, second = await docker_lab.run(), await docker_lab.run()

    shown = await (await docker_lab.docker.networks.get(network_name(first.rental_id))).show()
    other = await (await docker_lab.docker.networks.get(network_name(second.rental_id))).show()

    subnet = ipaddress.IPv4Network(shown["IPAM"]["Config"][0]["Subnet"])
    assert subnet.prefixlen == 28
    assert subnet.subnet_of(ipaddress.IPv4Network("10.213.0.0/16"))
    assert not subnet.overlaps(ipaddress.IPv4Network(other["IPAM"]["Config"][0]["Subnet"]))
    assert (shown["Driver"], shown["EnableIPv6"], shown["Internal"]) == ("bridge", False, False)
    assert shown["Labels"] == {"dc.node": docker_lab.node_id, "dc.rental": first.rental_id}
    options = shown["Options"]
    assert options["com.docker.network.bridge.enable_icc"] == "false"
    assert options["com.docker.network.bridge.name"] == bridge_name(docker_lab.node_id, first.rental_id)
    assert list(shown["Containers"]) == [first.container_id]


async def test_a_stop_gives_the_network_back_and_a_start_makes_it_anew(docker_lab: DockerLab) -> None:
    started = await docker_lab.run()
    assert await networks_of(docker_lab) == [network_name(started.rental_id)]

    stopped = await docker_lab.runtime.stop(started, GRACE_S)
    assert await networks_of(docker_lab) == []

    again = await docker_lab.runtime.start(stopped)
    assert await networks_of(docker_lab) == [network_name(started.rental_id)]
    await docker_lab.runtime.wait_ready(again)


async def test_a_container_that_never_ran_finds_the_network_that_was_made_anew(docker_lab: DockerLab) -> None:
    made = await docker_lab.create(docker_lab.spec())
    await remove_network(docker_lab, made.rental_id)

    started = await docker_lab.runtime.start(made)

    await docker_lab.runtime.wait_ready(started)


async def test_a_network_that_others_replaced_is_found_again(docker_lab: DockerLab) -> None:
    started = await docker_lab.run()
    await docker_lab.end(started)
    await remove_network(docker_lab, started.rental_id)
    await docker_lab.create(docker_lab.spec(rental_id=started.rental_id), incarnation=2)

    again = await docker_lab.runtime.start(started)

    await docker_lab.runtime.wait_ready(again)
    (endpoint,) = (await docker_lab.inspect(again))["NetworkSettings"]["Networks"]
    assert endpoint == network_name(started.rental_id)


async def test_load_removes_the_networks_that_no_running_container_uses(docker_lab: DockerLab) -> None:
    running = await docker_lab.run()
    ended = await docker_lab.run()
    made = await docker_lab.create(docker_lab.spec())
    await docker_lab.end(ended)
    assert len(await networks_of(docker_lab)) == 3

    await docker_lab.runtime.load()

    assert await networks_of(docker_lab) == [network_name(running.rental_id)]
    for container in (ended, made):
        await docker_lab.runtime.wait_ready(await docker_lab.runtime.start(container))
    await docker_lab.runtime.wait_ready(running)


async def test_load_leaves_the_networks_of_other_nodes_alone(docker_lab: DockerLab) -> None:
    await docker_lab.create(docker_lab.spec())

    await docker_lab.runtime_of("node-neighbour").load()

    assert len(await networks_of(docker_lab)) == 1


async def test_removing_an_old_incarnation_leaves_the_running_one_connected(docker_lab: DockerLab) -> None:
    spec = docker_lab.spec()
    old = await docker_lab.create(spec, 1)
    new = await docker_lab.runtime.start(await docker_lab.create(spec, 2))

    await docker_lab.runtime.remove(old)

    assert await networks_of(docker_lab) == [network_name(spec.rental_id)]
    await docker_lab.runtime.wait_ready(new)


async def test_rentals_that_start_together_get_different_networks(docker_lab: DockerLab) -> None:
    # Two runtimes do not know of each other's choice: the engine refuses the second to come.
    first, second = docker_lab.runtime_of(docker_lab.node_id), docker_lab.runtime_of(docker_lab.node_id)
    spec, other = docker_lab.spec(), docker_lab.spec()
    image = await docker_lab.image_for(spec)

    async def run(runtime: DockerRuntime, rental: int) -> Container:
        return await runtime.start(await runtime.create((spec, other)[rental], 1, image, [KEY]))

    started = await asyncio.gather(run(first, 0), run(second, 1))

    assert len(await networks_of(docker_lab)) == 2
    await asyncio.gather(*(docker_lab.runtime.wait_ready(container) for container in started))


async def test_a_full_range_is_said_and_an_end_makes_room(docker_lab: DockerLab) -> None:
    settings = DockerSettings(
        guest=docker_lab.settings.guest,
        docker_host=docker_lab.settings.docker_host,
        network_range=ipaddress.IPv4Network("10.214.99.0/28"),
    )
    runtime = DockerRuntime(settings, lambda: docker_lab.node_id)
    spec, other = docker_lab.spec(), docker_lab.spec()
    image = await docker_lab.image_for(spec)
    try:
        first = await runtime.create(spec, 1, image, [KEY])
        with pytest.raises(RuntimeFault, match="no free network") as fault:
            await runtime.create(other, 1, image, [KEY])
        assert fault.value.kind is FaultKind.INTERNAL

        # The container was made meanwhile, and is complete: the next try goes on from there.
        (left,) = await runtime.find(other.rental_id)
        await runtime.remove(first)
        assert await runtime.create(other, 1, image, [KEY]) == left
        await runtime.wait_ready(await runtime.start(left))
    finally:
        await runtime.close()
