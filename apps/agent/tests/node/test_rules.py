"""The rules R1 to R10 of the design, on a whole agent that speaks the real protocol."""

import asyncio
from itertools import pairwise

import pytest

from dcompute_agent.journal import Record
from dcompute_agent.journal.journal import JOURNAL_FILE
from dcompute_agent.journal.store import JournalStore
from dcompute_agent.protocol import models as m
from dcompute_agent.runtime.base import Container, Runtime
from dcompute_agent.runtime.simulated import SimulatedRuntime

from ..support.agent import Agent, Host
from ..support.backend import NODE_ID, BackendDouble
from ..support.conversation import ack, beats, give_specs, join, run, start_of, stop_of
from ..support.fixtures import spec_for, wish
from ..support.waiting import until


async def test_a_rental_goes_from_the_list_to_running_with_every_phase_told(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session, item = await join(backend), wish()

        await run(session, 1, item)

        phases = [report.phase.value for report in session.all(m.InstanceReport)]
        told = list(dict.fromkeys(phases))
        assert told[-5:] == ["pulling", "creating", "starting", "probing", "running"]
        assert host.running() == ["rental-1"]
        beat = await session.expect(m.Heartbeat, lambda beat: beat.rev_applied == 1)
        assert beat.node_id == NODE_ID


async def test_r1_a_hint_is_acknowledged_only_when_its_generation_would_survive_a_loss_of_power(
    backend: BackendDouble, host: Host
) -> None:
    async with host.agent():
        session, item = await join(backend), wish(gen=3)
        await session.send("start_instance", start_of(item))
        assert await ack(session, "cmd-start") == "accepted"

        on_disk = read_journal(host)

        assert on_disk[item.placement_id].gen == 3


async def test_r1_an_older_generation_is_stale_and_an_equal_one_a_duplicate(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session = await join(backend)
        await session.send("start_instance", start_of(wish(gen=3), "cmd-1"))
        await session.send("start_instance", start_of(wish(gen=3), "cmd-2"))
        await session.send("start_instance", start_of(wish(gen=2), "cmd-3"))

        assert [await ack(session, f"cmd-{n}") for n in (1, 2, 3)] == ["accepted", "duplicate", "stale"]


async def test_r2_a_stop_that_overtook_its_start_keeps_the_start_from_ever_happening(
    backend: BackendDouble, host: Host
) -> None:
    async with host.agent():
        session, item = await join(backend), wish(gen=3)
        await session.send("stop_instance", stop_of(item, gen=4))
        assert await ack(session, "cmd-stop") == "accepted"

        await session.send("start_instance", start_of(item))

        assert await ack(session, "cmd-start") == "stale"
        assert host.machine.containers == {}


async def test_r2_a_tombstone_holds_after_a_restart(backend: BackendDouble, host: Host) -> None:
    item = wish(gen=3)
    async with host.agent():
        session = await join(backend)
        await session.send("stop_instance", stop_of(item, gen=4, desired="deleted"))
        assert await ack(session, "cmd-stop") == "accepted"

    async with host.agent():
        session = await join(backend)
        await session.send("start_instance", start_of(item))

        assert await ack(session, "cmd-start") == "stale"


async def test_r3_a_stop_ends_a_pull_that_is_under_way(backend: BackendDouble, host: Host) -> None:
    host.machine.settings = type(host.machine.settings)(layer_s=30)
    async with host.agent():
        session, item = await join(backend), wish(gen=1)
        await session.send("start_instance", start_of(item))
        await session.phase(item, "pulling")

        await session.send("stop_instance", stop_of(item, gen=2))

        await session.phase(wish(gen=2), "stopped")
        assert host.machine.images == set()


async def test_r4_stop_keeps_the_container_and_start_runs_the_same_one(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session = await join(backend)
        await run(session, 1, wish(gen=1))
        (before,) = host.machine.containers
        await session.desire(2, wish(gen=2, desired="stopped", reason="renter_stopped"))
        await session.phase(wish(gen=2), "stopped")
        assert host.running() == []

        await session.desire(3, wish(gen=3))

        await session.phase(wish(gen=3), "running")
        assert list(host.machine.containers) == [before]


async def test_r4_a_new_incarnation_replaces_the_container(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session = await join(backend)
        await run(session, 1, wish(gen=1))
        (before,) = host.machine.containers

        await session.desire(2, wish(gen=2, incarnation=2))

        await session.phase(wish(gen=2), "running")
        assert before not in host.machine.containers
        assert len(host.machine.containers) == 1


async def test_deleted_leaves_no_container(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session = await join(backend)
        await run(session, 1, wish(gen=1))

        await session.desire(2, wish(gen=2, desired="deleted", reason="renter_deleted"))

        report = await session.phase(wish(gen=2), "deleted")
        assert report.reason is m.RentalEndReason.RENTER_DELETED
        assert host.machine.containers == {}


async def test_r5_an_unknown_container_is_removed_only_after_a_full_list_of_this_session_and_the_grace(
    backend: BackendDouble, host: Host
) -> None:
    host.unknown_grace_s = 0.3
    async with host.agent() as agent:
        session = await join(backend)
        await run(session, 1, wish())
        stray = await leave_stray(agent)

        await until(lambda: stray not in host.machine.containers, what="the stray to be removed")

        assert host.running() == ["rental-1"]


async def test_r9_an_unknown_container_that_cannot_be_removed_holds_up_no_other_and_no_deadline(
    backend: BackendDouble, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.unknown_grace_s = 0.3
    remove = SimulatedRuntime.remove

    async def hang_for_one(runtime: SimulatedRuntime, container: Container) -> None:
        if container.rental_id == "rental-stray":
            await asyncio.Event().wait()
        await remove(runtime, container)

    monkeypatch.setattr(SimulatedRuntime, "remove", hang_for_one)
    async with host.agent() as agent:
        session = await join(backend)
        await run(session, 1, wish())
        other = await make_container(agent.parts.runtime, "rental-other")
        stuck = await leave_stray(agent)
        await until(lambda: other not in host.machine.containers, what="the other stray to be removed")

        await session.desire(2, wish(gen=2, ttl_remaining_ms=10))

        await until(lambda: "rental-1" not in host.running(), what="the end at the time limit")
        assert stuck in host.machine.containers


async def test_r5_without_a_full_list_nothing_unknown_is_touched(backend: BackendDouble, host: Host) -> None:
    host.unknown_grace_s = 0
    async with host.agent():
        session = await join(backend)
        await run(session, 1, wish())
    async with host.agent() as agent:
        session = await join(backend)
        stray = await leave_stray(agent)
        # Two parts, of which one never comes: no full list.
        await session.desire(2, part=1, parts=2)
        await beats(session, 10)

        assert stray in host.machine.containers
        assert host.running() == ["rental-1", "rental-stray"]


async def test_r5_a_placement_that_no_list_names_any_more_is_removed_after_the_grace(
    backend: BackendDouble, host: Host
) -> None:
    host.unknown_grace_s = 0.3
    async with host.agent():
        session = await join(backend)
        await run(session, 1, wish(1), wish(2))

        await session.desire(2, wish(1))

        await until(lambda: host.running() == ["rental-1"], what="the unlisted one to be removed")


async def test_r5_a_container_of_another_node_is_never_touched(backend: BackendDouble, host: Host) -> None:
    host.unknown_grace_s = 0
    async with host.agent() as agent:
        session = await join(backend)
        await run(session, 1, wish())
        stranger = await make_container(SimulatedRuntime(lambda: "another-node", host.machine))
        await agent.parts.executor.resync()

        await session.desire(2, wish())
        await beats(session, 10)

        assert stranger in host.machine.containers


async def test_r6_a_hello_tells_the_highest_revision_and_generations_ever_seen(
    backend: BackendDouble, host: Host
) -> None:
    async with host.agent():
        session = await join(backend)
        await run(session, 41, wish(gen=7))
        await session.desire(42, wish(gen=8, desired="deleted", reason="renter_deleted"))
        await session.phase(wish(gen=8), "deleted")
        await session.expect(m.Heartbeat, lambda beat: beat.rev_applied == 42)

    async with host.agent():
        hello = await (await backend.session()).welcome()

        assert hello.rev_applied == 42
        assert [(item.placement_id, item.gen) for item in hello.gens] == [("placement-1", 8)]


async def test_r6_what_a_confirmed_list_does_not_know_is_told_in_no_later_hello(
    backend: BackendDouble, host: Host
) -> None:
    async with host.agent():
        session = await join(backend)
        await run(session, 5, wish(1), wish(2))
        # A database of before the second one; then the operator confirms.
        await session.desire(6, wish(1), frozen=True)
        await session.expect(m.Heartbeat, lambda beat: beat.rev_applied == 6)
    async with host.agent():
        session = await backend.session()
        hello = await session.welcome()
        assert {item.placement_id for item in hello.gens} == {"placement-1", "placement-2"}
        await session.desire(7, wish(1))
        await session.expect(m.Heartbeat, lambda beat: beat.rev_applied == 7)

    async with host.agent():
        hello = await (await backend.session()).welcome()

        assert [item.placement_id for item in hello.gens] == ["placement-1"]


async def test_r6_while_frozen_instances_are_started_but_none_is_stopped(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session = await join(backend)
        await run(session, 1, wish(1))

        await session.desire(2, wish(1, gen=2, desired="deleted", reason="renter_deleted"), wish(2), frozen=True)
        await give_specs(session, wish(2))
        await session.phase(wish(2), "running")

        assert host.running() == ["rental-1", "rental-2"]


async def test_r6_a_freeze_holds_over_a_restart_and_ends_when_the_operator_confirms(
    backend: BackendDouble, host: Host
) -> None:
    stopped = [wish(n, gen=2, desired="deleted") for n in (1, 2, 3)]
    async with host.agent():
        session = await join(backend)
        await run(session, 1, *(wish(n) for n in (1, 2, 3)))
        await session.desire(2, *stopped, frozen=True)
        await session.expect(m.Heartbeat, lambda beat: beat.rev_applied == 2)

    async with host.agent():
        session = await join(backend)
        await beats(session, 10)
        assert len(host.running()) == 3

        await session.desire(3, *stopped)

        await until(lambda: host.running() == [], what="the confirmed removals")


async def test_r6_a_list_that_would_stop_most_instances_without_a_reason_is_held_and_told(
    backend: BackendDouble, host: Host
) -> None:
    async with host.agent():
        session = await join(backend)
        await run(session, 1, *(wish(n) for n in (1, 2, 3, 4)))

        await session.desire(2, wish(1), wish(5))

        error = await session.expect(m.ProtocolError)
        assert error.code is m.AgentErrorCode.AGENT_MASS_STOP_HELD
        await give_specs(session, wish(5))
        await session.phase(wish(5), "running")
        assert len(host.running()) == 5
        beat = (await beats(session, 5))[-1]
        assert beat.rev_applied == 1


async def test_r6_the_same_list_with_a_reason_for_each_is_obeyed(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session = await join(backend)
        await run(session, 1, *(wish(n) for n in (1, 2, 3, 4)))
        gone = [wish(n, gen=2, desired="stopped", reason="operator_stopped") for n in (2, 3, 4)]

        await session.desire(2, wish(1), *gone)

        await until(lambda: host.running() == ["rental-1"], what="the explained stops")


async def test_r8_a_fenced_agent_stands_back_and_its_instances_run_on(backend: BackendDouble, host: Host) -> None:
    async with host.agent() as agent:
        session = await join(backend)
        await run(session, 1, wish())

        await session.socket.close(4001, "agent.fenced")

        await until(lambda: connection_of(agent) == "fenced", what="the agent to stand back")
        assert host.running() == ["rental-1"]
        assert not backend.has_arrivals()


async def test_r10_without_the_backend_instances_run_on_and_are_metered(backend: BackendDouble, host: Host) -> None:
    async with host.agent() as agent:
        session = await join(backend)
        await run(session, 1, wish())
        await backend.stop()
        before = len(agent.parts.journal.segments)

        await until(lambda: len(agent.parts.journal.segments) >= before + 3, what="segments of the outage")
        assert host.running() == ["rental-1"]

        await backend.start()
        session = await join(backend)
        # All of it reaches the backend in the end, without a gap or an overlap.
        await until(lambda: not agent.parts.journal.segments, what="the segments to be committed")
        segments = sorted(
            {s.segment_id: s for beat in session.all(m.Heartbeat) for s in beat.usage}.values(), key=lambda s: s.n
        )
        assert all(a.to_ms == b.from_ms for a, b in pairwise(segments))


async def test_r10_the_offline_grace_ends_instances_and_says_why(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session = await join(backend, offline_grace_ms=1000)
        await run(session, 1, wish())
        await backend.stop()

        await until(lambda: host.running() == [], what="the end of the offline grace")

        await backend.start()
        session = await join(backend)
        report = await session.expect(m.Heartbeat, lambda beat: beat.instances)
        assert report.instances[0].phase is m.InstancePhase.STOPPED
        assert report.instances[0].reason is m.RentalEndReason.OFFLINE_GRACE_EXPIRED


async def test_r10_the_offline_grace_goes_on_over_a_restart_of_the_agent(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session = await join(backend, offline_grace_ms=1500)
        await run(session, 1, wish())
    await backend.stop()

    async with host.agent() as agent:
        deadline_ms = agent.parts.memory.offline_deadline_ms
        assert deadline_ms - agent.parts.clock.boot_ms() <= 1500
        await until(lambda: host.running() == [], what="the end of the offline grace")


async def test_r10_the_time_limit_of_a_rental_is_kept_without_the_backend(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session = await join(backend)
        await run(session, 1, wish(1, ttl_remaining_ms=1500), wish(2))
        await backend.stop()

        await until(lambda: host.running() == ["rental-2"], what="the end of the time limit")


async def test_r10_run_until_is_obeyed_and_raises_no_generation(backend: BackendDouble, host: Host) -> None:
    async with host.agent():
        session = await join(backend)
        await run(session, 1, wish(1, gen=5), wish(2))
        session.run_until = [{"rental_id": "rental-1", "remaining_ms": 300}]
        await beats(session, 2)
        session.acknowledges = False

        await until(lambda: host.running() == ["rental-2"], what="run_until")
        report = await session.phase(wish(1, gen=5), "stopped")
        assert report.gen == 5


async def test_i11_a_tunnel_that_was_lost_without_a_word_is_opened_again(
    backend: BackendDouble, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dcompute_agent.upkeep.REVIEW_INTERVAL_MS", 200)
    async with host.agent() as agent:
        session = await join(backend)
        await run(session, 1, wish())
        tunnels = agent.parts.tunnels
        await agent.parts.executor.settled(["placement-1"])
        (name,) = tunnels.opened()
        await tunnels.close([name])

        await until(lambda: name in tunnels.opened(), what="the tunnel to be open again")


def read_journal(host: Host) -> dict[str, Record]:
    """What a restart would find."""
    store = JournalStore(host.state_dir / JOURNAL_FILE)
    try:
        return store.load().records
    finally:
        store.close()


async def leave_stray(agent: Agent) -> str:
    """A container with our label that no placement explains, as a cut `create` may leave it."""
    container_id = await make_container(agent.parts.runtime)
    await agent.parts.executor.resync()
    return container_id


async def make_container(runtime: Runtime, rental_id: str = "rental-stray") -> str:
    spec = spec_for(rental_id)
    image = await runtime.ensure_image(spec, lambda _progress: None)
    container = await runtime.start(await runtime.create(spec, 1, image, []))
    return container.container_id


def connection_of(agent: Agent) -> str:
    return agent.node.connection


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
