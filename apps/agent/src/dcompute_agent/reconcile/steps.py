"""The kinds of step that a plan is made of. What each one does is the executor's table."""

from dataclasses import dataclass

from ..protocol.models import InstancePhase, Tunnel
from ..runtime.base import Container
from ..tunnel.base import TunnelName


@dataclass(frozen=True)
class Refresh:
    """Ask the runtime what there is: an earlier step may or may not have taken effect."""


@dataclass(frozen=True)
class FetchSpec:
    """Ask the backend for the spec."""

    spec_sha: str


@dataclass(frozen=True)
class PullImage:
    """Have the image on this machine."""

    spec_sha: str


@dataclass(frozen=True)
class Create:
    """Make the container, its network and its files."""

    spec_sha: str
    incarnation: int


@dataclass(frozen=True)
class Start:
    """Start a complete container."""

    container: Container


@dataclass(frozen=True)
class WriteKeys:
    """Replace the authorized keys."""

    container: Container
    keys_sha: str


@dataclass(frozen=True)
class OpenTunnel:
    """Lead a port lease to a port of the container."""

    tunnel: Tunnel
    local_port: int

    # Tunnel is a mutable model: two steps are the same when they do the same.
    def __hash__(self) -> int:
        return hash((self.tunnel.proxy_server_id, self.tunnel.proxy_name, self.local_port))


@dataclass(frozen=True)
class AwaitReady:
    """See the instance's SSH banner."""

    container: Container


@dataclass(frozen=True)
class Stop:
    """Stop a container; its disk stays."""

    container: Container
    grace_s: int


@dataclass(frozen=True)
class Remove:
    """Stop a container, if need be, and remove it with all that it has."""

    container: Container
    grace_s: int


@dataclass(frozen=True)
class CloseTunnels:
    """Let no new connection in."""

    names: tuple[TunnelName, ...]


@dataclass(frozen=True)
class Settle:
    """Note that there is nothing left to do, and say so."""

    phase: InstancePhase


Step = (
    Refresh
    | FetchSpec
    | PullImage
    | Create
    | Start
    | WriteKeys
    | OpenTunnel
    | AwaitReady
    | Stop
    | Remove
    | CloseTunnels
    | Settle
)
