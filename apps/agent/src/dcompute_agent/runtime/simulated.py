"""Instances without an engine: virtual containers with a real port each, for load tests and fault schedules.

Everything is decided by the calls alone: the same calls give the same ids, tokens and events.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace

from ..protocol.models import InstanceSpec, PullProgress
from ..tunnel.base import SSH_PORT
from .banner import await_ssh_banner
from .base import (
    Container,
    ContainerExited,
    ContainerState,
    EngineFacts,
    FaultKind,
    Image,
    ProgressSink,
    RuntimeEvent,
    RuntimeFault,
    WatchStarted,
    ports_of,
)
from .simulated_ssh import SimulatedSsh

VERSION = "1"
MAX_UNREAD_EVENTS = 1024


@dataclass(frozen=True, slots=True)
class SimulatedSettings:
    """How the simulation behaves."""

    #: Images that no registry has.
    missing_images: frozenset[str] = frozenset()
    layers: int = 4
    layer_bytes: int = 32 * 1024 * 1024
    #: How long one layer takes to pull, seconds.
    layer_s: float = 0.0
    #: How long a container takes to start, seconds.
    start_s: float = 0.0
    firewall: bool = True


@dataclass(slots=True)
class VirtualContainer:
    """One container of the simulation."""

    node_id: str
    shape: Container
    container_ports: tuple[int, ...]
    ssh_keys: tuple[str, ...]
    host_key: str
    listener: SimulatedSsh | None = None


@dataclass(slots=True)
class SimulatedMachine:
    """What outlives a runtime: images and containers. Two runtimes on it are two agents on one engine."""

    settings: SimulatedSettings = SimulatedSettings()
    images: set[str] = field(default_factory=set[str])
    containers: dict[str, VirtualContainer] = field(default_factory=dict[str, VirtualContainer])
    watchers: set[asyncio.Queue[tuple[str, RuntimeEvent]]] = field(
        default_factory=set[asyncio.Queue[tuple[str, RuntimeEvent]]]
    )
    #: Containers made and runs begun so far.
    made: int = 0
    runs: int = 0

    async def end(self, container_id: str, exit_code: int, *, oom_killed: bool = False) -> None:
        """Ends a running container, as if its program had."""
        virtual = self.containers[container_id]
        listener, virtual.listener = virtual.listener, None
        if listener is None:
            return
        virtual.shape = virtual.shape.exited(exit_code, oom_killed=oom_killed)
        event = ContainerExited(container_id, exit_code, oom_killed, virtual.shape.started_token)
        self._tell(virtual.node_id, event)
        await listener.close()

    async def close(self) -> None:
        """Ends everything."""
        for container_id in list(self.containers):
            await self.end(container_id, 137)

    def _tell(self, node_id: str, event: RuntimeEvent) -> None:
        for queue in self.watchers:
            if queue.full():
                # Whoever is this far behind reads everything anew.
                while not queue.empty():
                    queue.get_nowait()
                event = WatchStarted()
            queue.put_nowait((node_id, event))


class SimulatedRuntime:
    """Implements `Runtime`. Without a machine of its caller it has one of its own, which ends when it is closed."""

    def __init__(self, node_id: Callable[[], str | None], machine: SimulatedMachine | None = None) -> None:
        self._known_node_id = node_id
        self._owns_machine = machine is None
        self.machine = SimulatedMachine() if machine is None else machine

    async def load(self) -> EngineFacts:
        """Always finds what it needs."""
        firewall = await self.assert_firewall()
        return EngineFacts("simulated", VERSION, "/", firewall, ("nothing runs here: instances are simulated",))

    async def close(self) -> None:
        """Ends the machine if nobody else has it."""
        if self._owns_machine:
            await self.machine.close()

    async def list_containers(self) -> Sequence[Container]:
        """All containers of this node."""
        node_id = self._known_node_id()
        return [virtual.shape for virtual in self.machine.containers.values() if virtual.node_id == node_id]

    async def find(self, rental_id: str) -> Sequence[Container]:
        """The containers of one rental on this node."""
        return [container for container in await self.list_containers() if container.rental_id == rental_id]

    async def ensure_image(self, spec: InstanceSpec, on_progress: ProgressSink) -> Image:
        """Pretends to pull, layer by layer, what was not there yet. Raises RuntimeFault(IMAGE_NOT_FOUND)."""
        settings = self.machine.settings
        if spec.image in settings.missing_images:
            raise RuntimeFault(FaultKind.IMAGE_NOT_FOUND, f"{spec.image} is in no registry")
        digest = spec.image_digest or f"sha256:{_sha256(spec.image)}"
        if digest not in self.machine.images:
            for done in range(settings.layers + 1):
                on_progress(_progress(done, settings))
                await asyncio.sleep(settings.layer_s)
            self.machine.images.add(digest)
        return Image(image_id=digest, digest=digest)

    async def create(self, spec: InstanceSpec, incarnation: int, image: Image, ssh_keys: Sequence[str]) -> Container:
        """Makes a container; one that is there already is adopted or replaced (R4)."""
        node_id = self._node_id()
        for virtual in list(self.machine.containers.values()):
            shape = virtual.shape
            if (shape.rental_id, shape.incarnation) != (spec.rental_id, incarnation):
                continue
            if virtual.node_id != node_id:
                raise RuntimeFault(FaultKind.CONFLICT, f"container {shape.container_id} is not this node's")
            if shape.spec_sha == spec.spec_sha:
                virtual.ssh_keys = tuple(ssh_keys)
                return shape
            await self.remove(shape)
        self.machine.made += 1
        container = Container(
            container_id=_sha256(f"{node_id}/{spec.rental_id}/{incarnation}/{self.machine.made}"),
            rental_id=spec.rental_id,
            incarnation=incarnation,
            spec_sha=spec.spec_sha,
            state=ContainerState.STOPPED,
        )
        self.machine.containers[container.container_id] = VirtualContainer(
            node_id, container, tuple(spec.container_ports), tuple(ssh_keys), spec.ssh_host_key
        )
        return container

    async def start(self, container: Container) -> Container:
        """Starts a container: all its ports are one SSH server that has nothing behind it."""
        virtual = self._virtual(container)
        if virtual.listener is not None:
            return virtual.shape
        await asyncio.sleep(self.machine.settings.start_s)
        listener = SimulatedSsh(virtual.host_key, lambda: virtual.ssh_keys)
        port = await listener.open()
        virtual.listener = listener
        self.machine.runs += 1
        virtual.shape = replace(
            virtual.shape,
            state=ContainerState.RUNNING,
            started_token=f"run-{self.machine.runs}",
            exit_code=None,
            oom_killed=False,
            ports=ports_of(dict.fromkeys(virtual.container_ports, port)),
        )
        return virtual.shape

    async def write_keys(self, container: Container, ssh_keys: Sequence[str]) -> None:
        """Keeps the keys."""
        self._virtual(container).ssh_keys = tuple(ssh_keys)

    async def wait_ready(self, container: Container) -> None:
        """Returns when the listener greeted. Raises RuntimeFault when the container does not run."""
        port = container.host_port(SSH_PORT)
        if port is None:
            raise RuntimeFault(FaultKind.INTERNAL, "the instance publishes no SSH port")

        async def check() -> None:
            shape = self._virtual(container).shape
            if shape.state is not ContainerState.RUNNING:
                raise RuntimeFault(FaultKind.INTERNAL, f"the instance ended with exit code {shape.exit_code}")

        await await_ssh_banner(port, check)

    async def stop(self, container: Container, grace_s: int) -> Container:
        """Ends the container, which obeys at once."""
        virtual = self._virtual(container)
        await self.machine.end(container.container_id, 0)
        return virtual.shape

    async def remove(self, container: Container) -> None:
        """Removes the container; one that is gone is no error."""
        if container.container_id in self.machine.containers:
            await self.machine.end(container.container_id, 137)
            self.machine.containers.pop(container.container_id, None)

    async def assert_firewall(self) -> bool:
        """What the settings say."""
        return self.machine.settings.firewall

    async def release(self) -> None:
        """There is nothing to give back."""

    def events(self) -> AsyncIterator[RuntimeEvent]:
        """Exits of this node's containers, for ever."""
        return self._watch()

    async def _watch(self) -> AsyncGenerator[RuntimeEvent, None]:
        queue: asyncio.Queue[tuple[str, RuntimeEvent]] = asyncio.Queue(MAX_UNREAD_EVENTS)
        self.machine.watchers.add(queue)
        try:
            yield WatchStarted()
            while True:
                node_id, event = await queue.get()
                if isinstance(event, WatchStarted) or node_id == self._known_node_id():
                    yield event
        finally:
            self.machine.watchers.discard(queue)

    def _node_id(self) -> str:
        node_id = self._known_node_id()
        if node_id is None:
            raise RuntimeFault(FaultKind.UNAVAILABLE, "the node has no id yet")
        return node_id

    def _virtual(self, container: Container) -> VirtualContainer:
        virtual = self.machine.containers.get(container.container_id)
        if virtual is None or virtual.node_id != self._known_node_id():
            raise RuntimeFault(FaultKind.MISSING, f"there is no container {container.container_id}")
        return virtual


def _progress(done: int, settings: SimulatedSettings) -> PullProgress:
    return PullProgress(
        layers_done=done,
        layers_total=settings.layers,
        bytes_done=done * settings.layer_bytes,
        bytes_total=settings.layers * settings.layer_bytes,
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
