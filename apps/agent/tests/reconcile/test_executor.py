"""Placements side by side, and what happens to them from outside."""

# A full disk is SQLite's own page limit, set on the store's own connection.
# pyright: reportPrivateUsage=false

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dcompute_agent.connection.outbox import Outbox
from dcompute_agent.protocol import models as m
from dcompute_agent.runtime.base import Container, ContainerState
from dcompute_agent.runtime.simulated import SimulatedMachine, SimulatedSettings

from ..support.fixtures import spec_for, wish
from ..support.reconciler import FaultyRuntime, running_reconciler
from ..support.waiting import until


@pytest.fixture
async def machine() -> AsyncIterator[SimulatedMachine]:
    machine = SimulatedMachine()
    yield machine
    await machine.close()


def running(machine: SimulatedMachine) -> list[str]:
    shapes = (virtual.shape for virtual in machine.containers.values())
    return sorted(shape.rental_id for shape in shapes if shape.state is ContainerState.RUNNING)


async def test_one_slow_instance_does_not_hold_up_another(tmp_path: Path, machine: SimulatedMachine) -> None:
    slow, quick = spec_for("rental-1"), spec_for("rental-2")
    machine.settings = SimulatedSettings(layer_s=30)
    assert quick.image_digest is not None
    async with running_reconciler(tmp_path, machine) as agent:
        await agent.desire(1, wish(1))
        await until(
            lambda: agent.parts.executor.placements["placement-1"].record.phase is m.InstancePhase.PULLING,
            what=f"the slow pull of {slow.image}",
        )
        machine.images.add(quick.image_digest)

        await agent.desire(2, wish(1), wish(2))

        await until(lambda: running(machine) == ["rental-2"], what="the quick one")


async def test_r1_nothing_is_made_for_a_generation_that_is_not_on_disk(
    tmp_path: Path, machine: SimulatedMachine
) -> None:
    async with running_reconciler(tmp_path, machine) as agent:
        await agent.parts.journal.durable()
        store = agent.parts.journal._store
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count={pages}")
        # The disk is full: until there is room, no container may appear.
        for number in range(60):
            agent.parts.journal.put_meta(f"filler-{number}", "x" * 100_000)
        with pytest.raises(Exception, match="full"):
            await agent.desire(1, wish())
        for _ in range(50):
            await asyncio.sleep(0)
        assert machine.containers == {}

        store._db.execute("PRAGMA max_page_count=1000000")
        await agent.desire(1, wish())

        await until(lambda: running(machine) == ["rental-1"], what="the instance, once there is room")


async def test_the_last_word_of_an_instance_is_said_once_the_disk_has_room_again(
    tmp_path: Path, machine: SimulatedMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dcompute_agent.reconcile.retry.BACKOFF_CAP_S", 0.01)
    async with running_reconciler(tmp_path, machine) as agent:
        await agent.desire(1, wish())
        await agent.settle()
        journal, placement = agent.parts.journal, agent.parts.executor.placements["placement-1"]
        await journal.durable()
        # Everything that was said so far has been heard.
        agent.parts.reports.attach(Outbox())
        agent.parts.reports.carry_all(1, [placement])
        agent.parts.reports.acknowledged(1)
        pages = journal._store._db.execute("PRAGMA page_count").fetchone()[0]
        journal._store._db.execute(f"PRAGMA max_page_count={pages}")
        for number in range(60):
            journal.put_meta(f"filler-{number}", "x" * 100_000)
        await machine.end(next(iter(machine.containers)), 9)
        await until(lambda: placement.record.end is not None, what="the failure to be known")
        for _ in range(50):
            await asyncio.sleep(0)
        assert placement.record.phase is not m.InstancePhase.FAILED

        journal._store._db.execute("PRAGMA max_page_count=1000000")

        await until(lambda: placement.record.phase is m.InstancePhase.FAILED, what="the end")
        reports = agent.parts.reports.carry(2, max_count=10, max_bytes=100_000)
        assert [report.phase.value for report in reports] == ["failed"]


async def test_an_agent_that_restarts_adopts_what_runs_and_touches_nothing_before_the_backend_speaks(
    tmp_path: Path, machine: SimulatedMachine
) -> None:
    async with running_reconciler(tmp_path, machine) as agent:
        await agent.desire(1, wish(1), wish(2))
        await agent.settle()
    before = dict(machine.containers)
    (ended,) = (c for c, v in machine.containers.items() if v.shape.rental_id == "rental-2")
    await machine.end(ended, 1)

    async with running_reconciler(tmp_path, machine) as agent:
        await agent.settle()
        assert running(machine) == ["rental-1"]
        assert machine.containers == before

        await agent.desire(1, wish(1), wish(2))
        await agent.settle()

        assert running(machine) == ["rental-1", "rental-2"]


async def test_an_instance_that_ended_is_not_started_again_before_a_higher_generation(
    tmp_path: Path, machine: SimulatedMachine
) -> None:
    async with running_reconciler(tmp_path, machine) as agent:
        await agent.desire(1, wish())
        await agent.settle()
        await machine.end(next(iter(machine.containers)), 9)
        await until(
            lambda: agent.parts.executor.placements["placement-1"].record.phase is m.InstancePhase.FAILED,
            what="the failure",
        )
        await agent.desire(2, wish())
        await agent.settle()
        assert running(machine) == []

        await agent.desire(3, wish(gen=2))
        await agent.settle()

        assert running(machine) == ["rental-1"]


async def test_a_program_that_ends_at_once_is_run_once_and_its_exit_code_told(
    tmp_path: Path, machine: SimulatedMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = FaultyRuntime.start

    async def start_and_end(runtime: FaultyRuntime, container: Container) -> Container:
        await start(runtime, container)
        await machine.end(container.container_id, 3)
        return machine.containers[container.container_id].shape

    monkeypatch.setattr(FaultyRuntime, "start", start_and_end)
    async with running_reconciler(tmp_path, machine) as agent:
        await agent.desire(1, wish())
        placement = agent.parts.executor.placements["placement-1"]
        await until(lambda: placement.record.phase is m.InstancePhase.FAILED, what="the failure")

        report = placement.report()
        assert (report.reason, report.exit_code) == (m.RentalEndReason.INSTANCE_EXITED, 3)
        assert machine.runs == 1


async def test_an_engine_that_is_away_is_waited_for_and_fails_no_instance(
    tmp_path: Path, machine: SimulatedMachine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dcompute_agent.reconcile.retry.BACKOFF_CAP_S", 0.01)
    async with running_reconciler(tmp_path, machine, rng=random.Random(1), fault_rate=1.0) as agent:
        await agent.desire(1, wish())
        await until(lambda: caplog.messages.count("step_failed") >= 10, what="more tries than a faulty instance gets")
        runtime = agent.parts.runtime
        assert isinstance(runtime, FaultyRuntime)

        runtime.rate = 0

        await until(lambda: running(machine) == ["rental-1"], what="the instance, once the engine is back")


async def test_deleting_forgets_the_secrets_of_the_spec(tmp_path: Path, machine: SimulatedMachine) -> None:
    async with running_reconciler(tmp_path, machine) as agent:
        await agent.desire(1, wish())
        await agent.settle()

        await agent.desire(2, wish(gen=2, desired="deleted", reason="renter_deleted"))
        await agent.settle()

        assert agent.parts.journal.spec("placement-1") is None


async def test_tunnels_that_no_placement_wants_are_closed(tmp_path: Path, machine: SimulatedMachine) -> None:
    async with running_reconciler(tmp_path, machine) as agent:
        await agent.desire(1, wish())
        await agent.settle()
        orphan = wish(9).tunnels[0]
        await agent.parts.tunnels.open(orphan, 1)

        await agent.parts.executor.close_orphan_tunnels()

        assert [name.proxy_name for name in agent.parts.tunnels.opened()] == ["dc-rental-1-22"]


async def test_a_list_that_is_older_than_the_last_one_is_ignored(tmp_path: Path, machine: SimulatedMachine) -> None:
    async with running_reconciler(tmp_path, machine) as agent:
        await agent.desire(5, wish(1))
        await agent.settle()

        await agent.desire(4, wish(1, gen=2, desired="deleted", reason="renter_deleted"))
        await agent.settle()

        assert running(machine) == ["rental-1"]
        assert agent.parts.journal.rev_applied == 5


async def test_a_stopped_container_that_its_host_removed_is_missed_when_its_keys_are_to_change(
    tmp_path: Path, machine: SimulatedMachine
) -> None:
    async with running_reconciler(tmp_path, machine) as agent:
        await agent.desire(1, wish())
        await agent.settle()
        await agent.desire(2, wish(gen=2, desired="stopped", reason="renter_stopped"))
        await agent.settle()
        machine.containers.clear()

        await agent.desire(3, wish(gen=3, ssh_keys=["ssh-ed25519 AAAA another"]))
        await agent.settle(limit_s=5)

        assert running(machine) == ["rental-1"]
