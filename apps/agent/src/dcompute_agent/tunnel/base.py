"""The port to the proxy servers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..protocol.models import ProxyServerAccess, Tunnel, TunnelState

SSH_PORT = 22


@dataclass(frozen=True, slots=True)
class TunnelName:
    """Names a tunnel on this node."""

    proxy_server_id: str
    proxy_name: str


def name_of(tunnel: Tunnel) -> TunnelName:
    """The name of a tunnel of a desired list."""
    return TunnelName(tunnel.proxy_server_id, tunnel.proxy_name)


class TunnelFault(Exception):
    """A tunnel could not be opened or closed now; worth trying again."""


class Tunnels(Protocol):
    """Tunnels live on without the agent. Every call may be repeated."""

    async def load(self) -> None:
        """Adopts what an earlier agent left open."""
        ...

    async def configure(self, node_id: str, servers: Sequence[ProxyServerAccess]) -> None:
        """Connects to exactly these proxy servers; those that did not change are not touched."""
        ...

    def opened(self) -> Mapping[TunnelName, int]:
        """The loopback port that each open tunnel leads to."""
        ...

    async def open(self, tunnel: Tunnel, local_port: int) -> None:
        """Returns when the proxy server listens. Raises TunnelFault."""
        ...

    async def close(self, names: Iterable[TunnelName]) -> None:
        """No new connections from now on; unknown names are ignored. Raises TunnelFault."""
        ...

    def states(self) -> Sequence[TunnelState]:
        """The connection to each proxy server."""
        ...

    async def detach(self) -> None:
        """Lets go of the tunnels; they stay open."""
        ...

    async def shut_down(self) -> None:
        """Ends all tunnels and their processes."""
        ...
