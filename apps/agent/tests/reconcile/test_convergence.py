"""Random lives of an agent: whatever comes in whatever order, it ends where the backend wants."""

import asyncio
import gc
import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcompute_agent.protocol import models as m
from dcompute_agent.runtime.base import ContainerState
from dcompute_agent.runtime.simulated import SimulatedMachine

from ..support.fixtures import spec_for, wish
from ..support.reconciler import Reconciler, running_reconciler

PLACEMENTS = 3
STEPS = 12
FAULT_RATE = 0.15


class Market:
    """The backend's side: wishes with rising generations, of which it forgets none."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.rev = 0
        self.wishes: dict[int, m.DesiredInstance] = {}
        self.history: list[m.DesiredInstance] = []

    def change(self) -> m.DesiredInstance:
        number = self._rng.randint(1, PLACEMENTS)
        before = self.wishes.get(number)
        desired = self._rng.choice(["running", "running", "stopped", "deleted"])
        if before is not None and before.desired is m.DesiredState.DELETED:
            # A deleted placement never returns.
            desired = "deleted"
        incarnation = (before.incarnation if before else 1) + (self._rng.random() < 0.2)
        self.rev += 1
        item = wish(
            number,
            gen=(before.gen if before else 0) + 1,
            desired=desired,
            incarnation=incarnation,
            reason=None if desired == "running" else "renter_stopped",
        )
        self.wishes[number] = item
        self.history.append(item)
        return item


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("dcompute_agent.reconcile.retry.BACKOFF_FIRST_S", 0.001)
    monkeypatch.setattr("dcompute_agent.reconcile.retry.BACKOFF_CAP_S", 0.01)
    yield
    # What was forgotten below is found here, where it is known.
    gc.collect()


# A simulated instance may be asked for its banner while it ends; a server of Python 3.11's asyncio that is closed
# between accepting a connection and serving it forgets the connection's socket (python/cpython#109564).
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32))
def test_after_the_faults_end_what_runs_is_what_is_wanted(seed: int) -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder), random.Random(seed)))


async def live(state_dir: Path, rng: random.Random) -> None:
    machine = SimulatedMachine()
    try:
        await live_on(machine, state_dir, rng)
    finally:
        await machine.close()


async def live_on(machine: SimulatedMachine, state_dir: Path, rng: random.Random) -> None:
    market = Market(rng)
    for _ in range(rng.randint(1, 3)):
        async with running_reconciler(state_dir, machine, rng=rng, fault_rate=FAULT_RATE) as agent:
            for _ in range(STEPS):
                await step(agent, market, machine, rng)
                check_side_by_side(machine)
    async with running_reconciler(state_dir, machine, rng=rng) as agent:
        # What an exit has ended is started again by a higher generation only.
        final = [item.model_copy(update={"gen": item.gen + 1}) for item in market.wishes.values()]
        await agent.desire(market.rev + 1, *final)
        await agent.settle()
        check_end(machine, final)
        check_tombstones(agent, market)


async def step(agent: Reconciler, market: Market, machine: SimulatedMachine, rng: random.Random) -> None:
    match rng.randint(0, 5):
        case 0 | 1:
            market.change()
            await agent.desire(market.rev, *market.wishes.values())
        case 2:
            # A hint that comes alone, before its list.
            item = market.change()
            if item.desired is m.DesiredState.RUNNING:
                await agent.parts.desires.take_start(item, spec_for(item.rental_id))
        case 3 if market.history:
            # An old message comes again.
            item = rng.choice(market.history)
            if item.desired is m.DesiredState.RUNNING:
                await agent.parts.desires.take_start(item, spec_for(item.rental_id))
        case 4:
            running = [c for c, v in machine.containers.items() if v.shape.state is ContainerState.RUNNING]
            if running:
                await machine.end(rng.choice(running), rng.randint(0, 255))
        case _:
            for _ in range(rng.randint(0, 30)):
                await asyncio.sleep(0)


def check_side_by_side(machine: SimulatedMachine) -> None:
    """At most one running container per rental, at every moment."""
    running = [v.shape.rental_id for v in machine.containers.values() if v.shape.state is ContainerState.RUNNING]
    assert len(running) == len(set(running))


def check_end(machine: SimulatedMachine, final: list[m.DesiredInstance]) -> None:
    by_rental = {item.rental_id: item for item in final}
    for virtual in machine.containers.values():
        shape = virtual.shape
        item = by_rental[shape.rental_id]
        assert item.desired is not m.DesiredState.DELETED, "deleted means no container"
        assert shape.incarnation == item.incarnation
        assert (shape.state is ContainerState.RUNNING) == (item.desired is m.DesiredState.RUNNING)
    running = {v.shape.rental_id for v in machine.containers.values() if v.shape.state is ContainerState.RUNNING}
    assert running == {item.rental_id for item in final if item.desired is m.DesiredState.RUNNING}


def check_tombstones(agent: Reconciler, market: Market) -> None:
    """R2: the tombstone is the highest stop that was ever taken over, and no start at or below it is wanted."""
    for placement in agent.parts.executor.placements.values():
        record = placement.record
        assert record.gen == market.wishes[int(record.placement_id.split("-")[1])].gen + 1
        if record.desired.desired is m.DesiredState.RUNNING:
            assert record.gen > record.tombstone_gen
