"""A whole agent inside the test's process, on a simulated machine that outlives it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

from dcompute_agent.assembly import Assembly, assemble
from dcompute_agent.clock import Clock, SystemClock
from dcompute_agent.config import AgentConfig, RuntimeKind
from dcompute_agent.node import Node
from dcompute_agent.runtime.base import ContainerState
from dcompute_agent.runtime.simulated import SimulatedMachine, SimulatedRuntime

from .backend import HOST_KEY


@dataclass
class Agent:
    """A running agent."""

    parts: Assembly
    node: Node
    task: asyncio.Task[None]

    async def stop(self) -> None:
        self.node.stop()
        await self.task

    async def die(self) -> None:
        """Ends without any of the care of an orderly end, as far as one process can."""
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@dataclass
class Host:
    """What outlives an agent: its state directory and its machine."""

    state_dir: Path
    backend_url: str
    machine: SimulatedMachine = field(default_factory=SimulatedMachine)
    unknown_grace_s: float = 300.0
    clock: Clock = field(default_factory=SystemClock)

    def config(self) -> AgentConfig:
        return AgentConfig(
            backend_url=self.backend_url,
            host_key=HOST_KEY,
            state_dir=self.state_dir,
            runtime=RuntimeKind.SIMULATED,
            unknown_grace_s=self.unknown_grace_s,
        )

    def start(self) -> Agent:
        self.state_dir.mkdir(parents=True, exist_ok=True)
        parts = assemble(self.config(), self.clock, lambda node_id: SimulatedRuntime(node_id, self.machine))
        node = Node(parts)
        return Agent(parts, node, asyncio.create_task(node.run()))

    @contextlib.asynccontextmanager
    async def agent(self) -> AsyncGenerator[Agent]:
        agent = self.start()
        try:
            yield agent
        finally:
            if not agent.task.done():
                await agent.stop()

    def running(self) -> list[str]:
        """Rentals with a running container."""
        shapes = (virtual.shape for virtual in self.machine.containers.values())
        return sorted(shape.rental_id for shape in shapes if shape.state is ContainerState.RUNNING)
