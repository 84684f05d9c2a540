"""Tunnels that lead nowhere, for simulated nodes without a proxy server to reach."""

from collections.abc import Iterable, Mapping, Sequence

from ..protocol.models import ProxyServerAccess, Tunnel, TunnelState
from .base import TunnelFault, TunnelName, name_of


class SimulatedTunnels:
    """Implements `Tunnels`: every tunnel to a configured proxy server opens at once."""

    def __init__(self) -> None:
        self._servers: list[str] = []
        self._opened: dict[TunnelName, int] = {}

    async def load(self) -> None:
        """Nothing outlives the process."""

    async def configure(self, node_id: str, servers: Sequence[ProxyServerAccess]) -> None:
        """Forgets the tunnels of servers that are no longer named."""
        self._servers = [server.id for server in servers]
        self._opened = {name: port for name, port in self._opened.items() if name.proxy_server_id in self._servers}

    def opened(self) -> Mapping[TunnelName, int]:
        """The loopback port of each tunnel."""
        return dict(self._opened)

    async def open(self, tunnel: Tunnel, local_port: int) -> None:
        """Opens a tunnel. Raises TunnelFault for an unknown proxy server."""
        if tunnel.proxy_server_id not in self._servers:
            raise TunnelFault(f"proxy server {tunnel.proxy_server_id} is not known to this node")
        self._opened[name_of(tunnel)] = local_port

    async def close(self, names: Iterable[TunnelName]) -> None:
        """Closes tunnels."""
        for name in names:
            self._opened.pop(name, None)

    def states(self) -> Sequence[TunnelState]:
        """All connected."""
        return [TunnelState(proxy_server_id=server_id, connected=True) for server_id in self._servers]

    async def detach(self) -> None:
        """Nothing to let go of."""

    async def shut_down(self) -> None:
        """Closes everything."""
        self._opened.clear()
        self._servers.clear()
