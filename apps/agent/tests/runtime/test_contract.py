"""What every runtime guarantees. The reconciler is written against these sentences."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import cast

import pytest

from dcompute_agent.protocol.models import PullProgress
from dcompute_agent.runtime.base import (
    Container,
    ContainerExited,
    ContainerState,
    FaultKind,
    RuntimeEvent,
    RuntimeFault,
    WatchStarted,
)

from .lab import KEY, Lab, new_id

GRACE_S = 5


async def test_load_names_the_engine_and_says_whether_the_firewall_stands(lab: Lab) -> None:
    facts = await lab.runtime.load()

    assert facts.name
    assert facts.version
    assert facts.firewall is True
    assert all(len(warning) <= 400 for warning in facts.warnings)


async def test_a_node_without_an_id_sees_its_engine_and_no_container(lab: Lab) -> None:
    await lab.run()
    nameless = lab.runtime_of(None)

    assert (await nameless.load()).name
    assert list(await nameless.list_containers()) == []


async def test_a_node_without_an_id_makes_nothing(lab: Lab) -> None:
    spec = lab.spec()
    image = await lab.image_for(spec)

    with pytest.raises(RuntimeFault):
        await lab.runtime_of(None).create(spec, 1, image, [KEY])


async def test_an_image_that_is_present_is_not_pulled(lab: Lab) -> None:
    spec = lab.spec()
    first = await lab.image_for(spec)
    progress: list[PullProgress] = []

    assert await lab.runtime.ensure_image(spec, progress.append) == first
    assert progress == []


async def test_an_image_that_nobody_has_is_said_to_be_not_found(lab: Lab) -> None:
    with pytest.raises(RuntimeFault) as fault:
        await lab.image_for(lab.spec(image=lab.unknown_image))

    assert fault.value.kind is FaultKind.IMAGE_NOT_FOUND


async def test_create_makes_a_complete_container_that_does_not_run(lab: Lab) -> None:
    spec = lab.spec()

    made = await lab.create(spec, incarnation=3)

    assert (made.rental_id, made.incarnation, made.spec_sha) == (spec.rental_id, 3, spec.spec_sha)
    assert made.state is ContainerState.STOPPED
    assert (made.ports, made.exit_code, made.started_token) == ((), None, "")
    assert await lab.keys_of(made) == f"{KEY}\n"
    assert list(await lab.runtime.find(spec.rental_id)) == [made]


async def test_create_adopts_the_container_that_is_there_and_gives_it_the_keys(lab: Lab) -> None:
    spec = lab.spec()
    first = await lab.create(spec)

    second = await lab.create(spec, keys=[KEY, f"{KEY}-2"])

    assert second == first
    assert await lab.keys_of(second) == f"{KEY}\n{KEY}-2\n"


async def test_create_replaces_a_container_of_another_spec(lab: Lab) -> None:
    spec = lab.spec()
    first = await lab.create(spec)

    second = await lab.create(spec.model_copy(update={"spec_sha": "another"}))

    assert second.container_id != first.container_id
    assert list(await lab.runtime.find(spec.rental_id)) == [second]


async def test_a_new_incarnation_stands_beside_the_old_one(lab: Lab) -> None:
    spec = lab.spec()
    old = await lab.create(spec, 1)

    new = await lab.create(spec, 2)

    assert {c.container_id for c in await lab.runtime.find(spec.rental_id)} == {old.container_id, new.container_id}


async def test_start_publishes_every_port_on_loopback_and_ssh_answers(lab: Lab) -> None:
    started = await lab.run()

    assert started.state is ContainerState.RUNNING
    assert started.started_token
    assert [port for port, _ in started.ports] == [22, 8080]
    await asyncio.wait_for(lab.runtime.wait_ready(started), 20)
    assert list(await lab.runtime.list_containers()) == [started]


async def test_start_leaves_a_running_container_alone(lab: Lab) -> None:
    started = await lab.run()

    assert await lab.runtime.start(started) == started


async def test_stop_keeps_the_container_and_start_runs_the_same_one_again(lab: Lab) -> None:
    started = await lab.run()
    await asyncio.wait_for(lab.runtime.wait_ready(started), 20)

    stopped = await lab.runtime.stop(started, GRACE_S)
    assert stopped.state is ContainerState.STOPPED
    assert (stopped.exit_code, stopped.ports) == (0, ())
    assert list(await lab.runtime.find(started.rental_id)) == [stopped]

    again = await lab.runtime.start(stopped)
    assert again.container_id == started.container_id
    assert again.started_token != started.started_token
    assert again.exit_code is None
    await asyncio.wait_for(lab.runtime.wait_ready(again), 20)


async def test_stop_and_remove_may_be_repeated(lab: Lab) -> None:
    started = await lab.run()

    stopped = await lab.runtime.stop(started, GRACE_S)
    assert await lab.runtime.stop(stopped, GRACE_S) == stopped
    await lab.runtime.remove(stopped)
    await lab.runtime.remove(stopped)

    assert list(await lab.runtime.list_containers()) == []


async def test_remove_ends_a_running_container(lab: Lab) -> None:
    started = await lab.run()

    await lab.runtime.remove(started)

    assert list(await lab.runtime.find(started.rental_id)) == []


CALLS: Mapping[str, Callable[[Lab, Container], Awaitable[object]]] = {
    "start": lambda lab, container: lab.runtime.start(container),
    "stop": lambda lab, container: lab.runtime.stop(container, GRACE_S),
    "write_keys": lambda lab, container: lab.runtime.write_keys(container, [KEY]),
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_container_that_is_gone_is_missing(lab: Lab, call: str) -> None:
    container = await lab.create(lab.spec())
    await lab.runtime.remove(container)

    with pytest.raises(RuntimeFault) as fault:
        await CALLS[call](lab, container)

    assert fault.value.kind is FaultKind.MISSING


async def test_keys_are_replaced_while_the_instance_runs(lab: Lab) -> None:
    started = await lab.run()

    await lab.runtime.write_keys(started, [f"{KEY}-new"])
    assert await lab.keys_of(started) == f"{KEY}-new\n"

    await lab.runtime.write_keys(started, [])
    assert await lab.keys_of(started) == ""


async def test_waiting_for_an_instance_that_ended_does_not_last(lab: Lab) -> None:
    started = await lab.run()
    await lab.end(started)

    with pytest.raises(RuntimeFault, match="exit code 137"):
        await asyncio.wait_for(lab.runtime.wait_ready(started), 20)


async def next_event(events: AsyncIterator[RuntimeEvent]) -> RuntimeEvent:
    return await asyncio.wait_for(anext(events), 20)


async def test_an_exit_is_told_once_with_its_code(lab: Lab) -> None:
    started = await lab.run()
    async with aclosing(watch(lab)) as events:
        assert await next_event(events) == WatchStarted()

        exit_code = await lab.end(started)

        assert await next_event(events) == ContainerExited(started.container_id, exit_code, oom_killed=False)
    (found,) = await lab.runtime.list_containers()
    assert (found.state, found.exit_code) == (ContainerState.STOPPED, exit_code)


async def test_a_stop_is_told_as_an_exit_too(lab: Lab) -> None:
    started = await lab.run()
    await asyncio.wait_for(lab.runtime.wait_ready(started), 20)
    async with aclosing(watch(lab)) as events:
        assert await next_event(events) == WatchStarted()

        await lab.runtime.stop(started, GRACE_S)

        assert await next_event(events) == ContainerExited(started.container_id, 0, oom_killed=False)


async def test_two_nodes_of_one_engine_see_nothing_of_each_other(lab: Lab) -> None:
    mine = await lab.run()
    neighbour = lab.runtime_of(new_id("node"))
    spec = lab.spec()
    theirs = await neighbour.start(await neighbour.create(spec, 1, await lab.image_for(spec), [KEY]))

    assert list(await lab.runtime.list_containers()) == [mine]
    assert list(await neighbour.list_containers()) == [theirs]
    assert list(await neighbour.find(mine.rental_id)) == []
    async with aclosing(watch(lab)) as events:
        assert await next_event(events) == WatchStarted()
        await neighbour.remove(theirs)
        await lab.end(mine)
        event = await next_event(events)
    assert isinstance(event, ContainerExited)
    assert event.container_id == mine.container_id


async def test_a_container_of_another_node_is_neither_adopted_nor_replaced(lab: Lab) -> None:
    spec = lab.spec()
    theirs = await lab.create(spec)
    neighbour = lab.runtime_of(new_id("node"))

    with pytest.raises(RuntimeFault) as fault:
        await neighbour.create(spec, 1, await lab.image_for(spec), [KEY])

    assert fault.value.kind is FaultKind.CONFLICT
    assert list(await lab.runtime.find(spec.rental_id)) == [theirs]


async def test_another_runtime_of_the_node_finds_what_runs(lab: Lab) -> None:
    started = await lab.run()
    successor = lab.runtime_of(lab.node_id)

    await successor.load()

    assert list(await successor.list_containers()) == [started]
    await asyncio.wait_for(successor.wait_ready(started), 20)


async def test_after_a_release_instances_can_run_again(lab: Lab) -> None:
    stopped = await lab.runtime.stop(await lab.run(), GRACE_S)

    await lab.runtime.release()
    again = await lab.runtime.start(stopped)

    await asyncio.wait_for(lab.runtime.wait_ready(again), 20)
    assert await lab.runtime.assert_firewall() is True


def watch(lab: Lab) -> AsyncGenerator[RuntimeEvent, None]:
    """The runtime's events; both runtimes give a generator, which a test must close."""
    return cast("AsyncGenerator[RuntimeEvent, None]", lab.runtime.events())
