"""The port to whatever runs instances. Docker and the simulation pass the same contract test."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from ..protocol.models import InstanceSpec, PullProgress


class ContainerState(StrEnum):
    """What a container can be used for."""

    #: Made, but perhaps not with all that belongs into it; never started.
    INCOMPLETE = "incomplete"
    #: Complete and not running.
    STOPPED = "stopped"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Container:
    """One container of this node, as its labels and the engine describe it."""

    container_id: str
    rental_id: str
    incarnation: int
    spec_sha: str
    state: ContainerState
    #: The engine's start time of the latest run: equal as long as the run was not interrupted. Never computed with.
    started_token: str = ""
    exit_code: int | None = None
    oom_killed: bool = False
    #: Container port -> port on loopback, while it runs.
    ports: tuple[tuple[int, int], ...] = ()

    def exited(self, exit_code: int | None, *, oom_killed: bool) -> "Container":
        """The same container after its run has ended."""
        return replace(self, state=ContainerState.STOPPED, exit_code=exit_code, oom_killed=oom_killed, ports=())

    def host_port(self, container_port: int) -> int | None:
        """The loopback port that leads to a container port."""
        return dict(self.ports).get(container_port)


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is present."""

    image_id: str
    digest: str | None
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class ContainerExited:
    """A container ended while the engine was watched."""

    container_id: str
    exit_code: int
    oom_killed: bool
    #: The run that ended, where the engine still tells: news of an earlier run can come after the next has begun.
    started_token: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class WatchStarted:
    """The engine is watched from now on; what happened before must be read anew."""


RuntimeEvent = ContainerExited | WatchStarted


class FaultKind(StrEnum):
    """Why the runtime could not do something."""

    UNAVAILABLE = "unavailable"
    IMAGE_NOT_FOUND = "image_not_found"
    PULL_FAILED = "pull_failed"
    CONFLICT = "conflict"
    MISSING = "missing"
    REFUSED = "refused"
    INTERNAL = "internal"


class RuntimeFault(Exception):
    """The runtime could not do what was asked."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the preflight found."""

    name: str
    version: str
    data_root: str
    firewall: bool
    warnings: tuple[str, ...]


ProgressSink = Callable[[PullProgress], None]


class Runtime(Protocol):
    """Every call is bounded by its caller, may be repeated, and raises RuntimeFault.

    A cancelled `pull` stops the pull; a cancelled `create` or `start` may still take effect, so its caller looks again.
    """

    async def load(self) -> EngineFacts:
        """Connects, checks the engine and removes networks that no running container uses."""
        ...

    async def close(self) -> None:
        """Lets go of the engine; containers go on."""
        ...

    async def list_containers(self) -> Sequence[Container]:
        """All containers that carry this node's label, and no other (R5)."""
        ...

    async def find(self, rental_id: str) -> Sequence[Container]:
        """The containers of one rental."""
        ...

    async def ensure_image(self, spec: InstanceSpec, on_progress: ProgressSink) -> Image:
        """Pulls the image if it is absent. The digest decides where the spec has one."""
        ...

    async def create(self, spec: InstanceSpec, incarnation: int, image: Image, ssh_keys: Sequence[str]) -> Container:
        """Makes container and network and puts guest, configuration and keys into it; adopts an equal one (R4)."""
        ...

    async def start(self, container: Container) -> Container:
        """Starts a complete container, with a new network where its old one is gone; the ports are read anew."""
        ...

    async def write_keys(self, container: Container, ssh_keys: Sequence[str]) -> None:
        """Replaces the authorized keys."""
        ...

    async def wait_ready(self, container: Container) -> None:
        """Returns when an SSH banner came through the published port."""
        ...

    async def stop(self, container: Container, grace_s: int) -> Container:
        """Stops the container (SIGTERM, after the grace SIGKILL) and gives its network back; keeps its disk."""
        ...

    async def remove(self, container: Container) -> None:
        """Removes container, its volumes and its network."""
        ...

    async def assert_firewall(self) -> bool:
        """Sets firewall rules that are missing; says whether they stand."""
        ...

    async def release(self) -> None:
        """Removes the node's firewall rules and the networks of stopped containers."""
        ...

    def events(self) -> AsyncIterator[RuntimeEvent]:
        """Exits of containers; reconnects for ever, each time with a WatchStarted."""
        ...


def ports_of(mapping: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    """A port mapping in the form that `Container` keeps."""
    return tuple(sorted(mapping.items()))
