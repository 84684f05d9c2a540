"""The reconciler without a socket: desires in, containers out."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

from dcompute_agent.assembly import Assembly, assemble
from dcompute_agent.clock import Clock, SystemClock
from dcompute_agent.config import AgentConfig, RuntimeKind
from dcompute_agent.protocol import models as m
from dcompute_agent.runtime.base import Container, ContainerExited, FaultKind, Image, ProgressSink, RuntimeFault
from dcompute_agent.runtime.simulated import SimulatedMachine, SimulatedRuntime

from .backend import HOST_KEY, NODE_ID
from .fixtures import spec_for


class FaultyRuntime(SimulatedRuntime):
    """A simulated engine that goes away at random moments: before a call took effect, or just after."""

    def __init__(
        self, node_id: Callable[[], str | None], machine: SimulatedMachine, rng: random.Random, rate: float
    ) -> None:
        super().__init__(node_id, machine)
        self._rng = rng
        self.rate = rate

    def _maybe_fail(self) -> None:
        if self._rng.random() < self.rate:
            raise RuntimeFault(FaultKind.UNAVAILABLE, "the engine went away")

    async def find(self, rental_id: str) -> Sequence[Container]:
        self._maybe_fail()
        return await super().find(rental_id)

    async def create(self, spec: m.InstanceSpec, incarnation: int, image: Image, ssh_keys: Sequence[str]) -> Container:
        self._maybe_fail()
        made = await super().create(spec, incarnation, image, ssh_keys)
        self._maybe_fail()
        return made

    async def start(self, container: Container) -> Container:
        self._maybe_fail()
        started = await super().start(container)
        self._maybe_fail()
        return started

    async def stop(self, container: Container, grace_s: int) -> Container:
        self._maybe_fail()
        stopped = await super().stop(container, grace_s)
        self._maybe_fail()
        return stopped

    async def remove(self, container: Container) -> None:
        self._maybe_fail()
        await super().remove(container)
        self._maybe_fail()

    async def ensure_image(self, spec: m.InstanceSpec, on_progress: ProgressSink) -> Image:
        self._maybe_fail()
        return await super().ensure_image(spec, on_progress)


class Reconciler:
    """One life of an agent's core on a machine that outlives it."""

    def __init__(self, parts: Assembly) -> None:
        self.parts = parts
        self._events: asyncio.Task[None] | None = None

    async def load(self) -> None:
        self.parts.memory.enrol(NODE_ID)
        await self.parts.tunnels.configure(NODE_ID, [PROXY])
        self._events = asyncio.create_task(self._follow())
        await self.parts.executor.load()

    async def close(self) -> None:
        if self._events is not None:
            self._events.cancel()
            await asyncio.wait([self._events])
        await self.parts.executor.close()
        await self.parts.journal.close()

    async def desire(self, rev: int, *items: m.DesiredInstance, frozen: bool = False) -> Sequence[str]:
        """A full list, with the specs that the agent would ask for. Returns what is held."""
        outcome = await self.parts.desires.take_list(rev, items, frozen=frozen)
        for item in items:
            self.parts.desires.take_spec(item.placement_id, spec_for(item.rental_id))
        return outcome.held

    async def settle(self, limit_s: float = 30) -> None:
        async with asyncio.timeout(limit_s):
            await self.parts.executor.settled(list(self.parts.executor.placements))

    async def _follow(self) -> None:
        async for event in self.parts.runtime.events():
            if isinstance(event, ContainerExited):
                self.parts.executor.container_exited(event)


PROXY = m.ProxyServerAccess(
    id="proxy-1", host="127.0.0.1", bind_port=7000, server_name="s", ca_pem="", auth_token="a", node_token="n"
)


@contextlib.asynccontextmanager
async def running_reconciler(
    state_dir: Path,
    machine: SimulatedMachine,
    *,
    rng: random.Random | None = None,
    fault_rate: float = 0.0,
    clock: Clock | None = None,
) -> AsyncGenerator[Reconciler]:
    state_dir.mkdir(parents=True, exist_ok=True)
    config = AgentConfig(
        backend_url="ws://127.0.0.1:1", host_key=HOST_KEY, state_dir=state_dir, runtime=RuntimeKind.SIMULATED
    )
    faults = rng or random.Random(0)
    parts = assemble(
        config, clock or SystemClock(), lambda node_id: FaultyRuntime(node_id, machine, faults, fault_rate)
    )
    reconciler = Reconciler(parts)
    await reconciler.load()
    try:
        yield reconciler
    finally:
        await reconciler.close()
