"""What an instance can reach, tried from inside, and how the rules hold."""

import asyncio
import ipaddress
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest

from dcompute_agent.runtime.base import Container
from dcompute_agent.runtime.docker import DockerRuntime, DockerSettings
from dcompute_agent.runtime.firewall import MAIL_PORTS, host_chain_name
from dcompute_agent.runtime.names import bridge_prefix, chain_name

from .lab import DockerLab, DockerLabSettings, new_id
from .world import LAN, METADATA, PUBLIC, World

pytestmark = pytest.mark.docker

PORTS = (*MAIL_PORTS, 53, 8000)


class LabWithResolver(DockerLab):
    """Its nodes use a name server in their LAN."""

    def runtime_of(self, node_id: str | None) -> DockerRuntime:
        settings = DockerSettings(
            guest=self.settings.guest,
            docker_host=self.settings.docker_host,
            resolvers=lambda: [ipaddress.IPv4Address(LAN)],
        )
        return self.keep(DockerRuntime(settings, lambda: node_id), node_id)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    world = World(PORTS)
    yield world
    world.close()


@pytest.fixture
async def resolver_lab(docker_lab_settings: DockerLabSettings) -> AsyncIterator[DockerLab]:
    lab = LabWithResolver(docker_lab_settings)
    try:
        await lab.runtime.load()
        yield lab
    finally:
        await lab.close()


def rules(program: str = "iptables") -> list[str]:
    shown = subprocess.run([program, "-w", "5", "-S"], capture_output=True, check=True, timeout=20)
    return shown.stdout.decode().splitlines()


def rules_of(node_id: str) -> list[str]:
    marks = (chain_name(node_id), bridge_prefix(node_id) + "+")
    return [line for line in (*rules(), *rules("ip6tables")) if any(mark in line for mark in marks)]


async def reaches(lab: DockerLab, container: Container, address: str, port: int) -> bool:
    """Whether a connection from inside is answered."""
    _, output = await lab.exec(container, "/bin/nc", "-w", "1", address, str(port))
    return "hello" in output


async def gateway_of(lab: DockerLab, container: Container) -> str:
    (endpoint,) = (await lab.inspect(container))["NetworkSettings"]["Networks"].values()
    return str(endpoint["Gateway"])


@pytest.mark.usefixtures("world")
async def test_an_instance_reaches_the_internet_but_no_private_address(docker_lab: DockerLab) -> None:
    instance = await docker_lab.run()

    assert await reaches(docker_lab, instance, PUBLIC, 8000)
    assert not await reaches(docker_lab, instance, LAN, 8000)
    assert not await reaches(docker_lab, instance, METADATA, 8000)
    await docker_lab.runtime.release()
    assert await reaches(docker_lab, instance, LAN, 8000), "it is the rules that keep it away"


@pytest.mark.usefixtures("world")
async def test_an_instance_reaches_no_mail_port(docker_lab: DockerLab) -> None:
    instance = await docker_lab.run()

    assert [await reaches(docker_lab, instance, PUBLIC, port) for port in MAIL_PORTS] == [False] * 3
    await docker_lab.runtime.release()
    assert [await reaches(docker_lab, instance, PUBLIC, port) for port in MAIL_PORTS] == [True] * 3


@pytest.mark.usefixtures("world")
async def test_only_port_53_of_the_configured_resolver_is_open(resolver_lab: DockerLab) -> None:
    instance = await resolver_lab.run()

    assert await reaches(resolver_lab, instance, LAN, 53)
    assert not await reaches(resolver_lab, instance, LAN, 8000)
    assert not await reaches(resolver_lab, instance, METADATA, 53)


async def test_an_instance_does_not_reach_its_host(docker_lab: DockerLab) -> None:
    instance = await docker_lab.run()
    gateway = await gateway_of(docker_lab, instance)

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(greet, gateway, 0) as host:
        port = int(host.sockets[0].getsockname()[1])
        assert not await reaches(docker_lab, instance, gateway, port)
        await docker_lab.runtime.release()
        assert await reaches(docker_lab, instance, gateway, port), "it is the rules that keep it away"


async def test_an_instance_does_not_reach_another_rental(docker_lab: DockerLab) -> None:
    first, second = await docker_lab.run(), await docker_lab.run()
    (endpoint,) = (await docker_lab.inspect(second))["NetworkSettings"]["Networks"].values()

    _, output = await docker_lab.exec(first, "/bin/nc", "-w", "1", endpoint["IPAddress"], "22")

    assert "SSH-2.0" not in output


async def test_a_start_puts_the_rules_before_the_instance(docker_lab: DockerLab) -> None:
    made = await docker_lab.create(docker_lab.spec())
    await docker_lab.runtime.release()
    assert rules_of(docker_lab.node_id) == []

    await docker_lab.runtime.start(made)

    assert f"-N {chain_name(docker_lab.node_id)}" in rules()
    assert f"-N {host_chain_name(docker_lab.node_id)}" in rules()


async def test_asserting_twice_changes_nothing(docker_lab: DockerLab) -> None:
    assert await docker_lab.runtime.assert_firewall() is True
    before = rules_of(docker_lab.node_id)

    assert await docker_lab.runtime.assert_firewall() is True

    assert rules_of(docker_lab.node_id) == before


async def test_rules_that_others_wiped_or_overtook_are_set_again(docker_lab: DockerLab) -> None:
    node_id = docker_lab.node_id
    assert await docker_lab.runtime.assert_firewall() is True
    whole = rules_of(node_id)
    bridges = f"{bridge_prefix(node_id)}+"
    overtaking = ["-i", bridges, "-j", "ACCEPT"]

    def change(*arguments: str) -> None:
        subprocess.run(["iptables", "-w", "5", *arguments], check=True, capture_output=True, timeout=20)

    change("-D", "DOCKER-USER", "-i", bridges, "-j", chain_name(node_id))
    change("-F", host_chain_name(node_id))
    change("-D", chain_name(node_id), "2")
    assert await docker_lab.runtime.assert_firewall() is True
    assert sorted(rules_of(node_id)) == sorted(whole)

    change("-I", "DOCKER-USER", "1", *overtaking)
    try:
        assert await docker_lab.runtime.assert_firewall() is True
        hooks = [line for line in rules() if line.startswith("-A DOCKER-USER ") and bridges in line]
        assert hooks[0].endswith(f"-j {chain_name(node_id)}")
    finally:
        change("-D", "DOCKER-USER", *overtaking)


async def test_two_nodes_keep_their_rules_apart(docker_lab: DockerLab) -> None:
    neighbour_id = new_id("node")
    neighbour = docker_lab.runtime_of(neighbour_id)
    for _ in range(2):
        assert await docker_lab.runtime.assert_firewall() is True
        assert await neighbour.assert_firewall() is True
    mine = rules_of(docker_lab.node_id)

    await neighbour.release()

    assert rules_of(neighbour_id) == []
    assert rules_of(docker_lab.node_id) == mine


async def test_release_leaves_no_rule_and_no_network_of_a_stopped_container(docker_lab: DockerLab) -> None:
    await docker_lab.create(docker_lab.spec())
    assert rules_of(docker_lab.node_id)

    await docker_lab.runtime.release()

    assert rules_of(docker_lab.node_id) == []
    assert await docker_lab.docker.networks.list(filters={"label": [f"dc.node={docker_lab.node_id}"]}) == []
