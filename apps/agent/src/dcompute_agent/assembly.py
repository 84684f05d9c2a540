"""Puts the parts of an agent together, by its configuration."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from .clock import Clock
from .config import AgentConfig, RuntimeKind
from .connection.reports import Reports
from .identity import Identity, load_identity
from .inventory.gpus import GpuInventory, NoGpus
from .journal import Journal
from .memory import NodeMemory
from .metering.meter import Meter
from .reconcile.desires import Desires
from .reconcile.executor import Executor
from .reconcile.handlers import Tools
from .reconcile.unlisted import Unlisted
from .runtime.base import Runtime
from .runtime.docker import DockerRuntime, DockerSettings
from .runtime.simulated import SimulatedRuntime
from .tunnel.base import Tunnels
from .tunnel.frpc import FrpcTunnels
from .tunnel.simulated import SimulatedTunnels


@dataclass(frozen=True, slots=True)
class Assembly:
    """All parts of one agent."""

    config: AgentConfig
    clock: Clock
    rng: random.Random
    identity: Identity
    journal: Journal
    memory: NodeMemory
    gpus: GpuInventory
    runtime: Runtime
    tunnels: Tunnels
    reports: Reports
    unlisted: Unlisted
    executor: Executor
    desires: Desires


#: Makes a runtime for the node whose id the function tells.
RuntimeMaker = Callable[[Callable[[], str | None]], Runtime]


def assemble(config: AgentConfig, clock: Clock, make_runtime: RuntimeMaker | None = None) -> Assembly:
    """Builds an agent on its state directory, with another runtime than the configured one where a maker is given.

    Raises OSError, PermissionError (the node key is readable by others), sqlite3.Error.
    """
    identity = load_identity(config.state_dir)
    journal = Journal.open(config.state_dir)
    memory = NodeMemory(journal, clock)
    gpus = NoGpus()
    reports = Reports(clock)
    rng = random.Random()  # noqa: S311 -- jitter
    runtime = make_runtime(lambda: memory.node_id) if make_runtime else _runtime(config, lambda: memory.node_id, gpus)
    tunnels = _tunnels(config, clock)
    tools = Tools(
        runtime=runtime,
        tunnels=tunnels,
        journal=journal,
        meter=Meter(journal, clock, identity, lambda: memory.node_id),
        report=reports.note,
        request_spec=reports.request_spec,
    )
    executor = Executor(tools, clock, rng)
    unlisted = Unlisted(int(config.unknown_grace_s * 1000))
    return Assembly(
        config=config,
        clock=clock,
        rng=rng,
        identity=identity,
        journal=journal,
        memory=memory,
        gpus=gpus,
        runtime=runtime,
        tunnels=tunnels,
        reports=reports,
        unlisted=unlisted,
        executor=executor,
        desires=Desires(executor, journal, memory, clock, unlisted),
    )


def _runtime(config: AgentConfig, node_id: Callable[[], str | None], gpus: GpuInventory) -> Runtime:
    if config.runtime is RuntimeKind.SIMULATED or config.guest is None:
        return SimulatedRuntime(node_id)
    settings = DockerSettings(guest=config.guest, docker_host=config.docker_host, network_range=config.network_range)
    return DockerRuntime(settings, node_id, lambda: {gpu.index: gpu.uuid for gpu in gpus.specs()})


def _tunnels(config: AgentConfig, clock: Clock) -> Tunnels:
    if config.frpc is None:
        return SimulatedTunnels()
    return FrpcTunnels(config.frpc, config.state_dir, clock.boot_id)
