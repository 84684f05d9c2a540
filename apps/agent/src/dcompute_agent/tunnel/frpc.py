"""Tunnels by frpc: one process per proxy server, each living on without the agent (design section 8)."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..protocol.models import ProxyServerAccess, Tunnel, TunnelState
from .base import TunnelFault, TunnelName
from .frpc_config import folder_name
from .frpc_link import FrpcLink
from .frpc_process import FrpcProcess, Launch, notes_in

log = logging.getLogger(__name__)

FOLDER = "frpc"


class FrpcTunnels:
    """The links to all proxy servers of the node."""

    def __init__(self, binary: Path, state_dir: Path, boot_id: str) -> None:
        self._binary = binary
        self._folder = state_dir / FOLDER
        self._boot_id = boot_id
        self._links: dict[str, FrpcLink] = {}

    async def load(self) -> None:
        """Adopts the processes that an earlier agent left, and starts again those that died meanwhile."""
        self._links = dict(self._left_behind())
        await asyncio.gather(*(_logged(server_id, link.adopt()) for server_id, link in self._links.items()))

    async def configure(self, node_id: str, servers: Sequence[ProxyServerAccess]) -> None:
        """Connects to exactly these proxy servers; those that did not change are not touched."""
        named = {server.id for server in servers}
        dropped = [self._links.pop(server_id) for server_id in list(self._links) if server_id not in named]
        changes = [_logged(s.id, self._link(s.id).ensure(Launch(node_id, s))) for s in servers]
        await asyncio.gather(*changes, *(link.shut_down() for link in dropped))

    def opened(self) -> Mapping[TunnelName, int]:
        """The loopback port that each open tunnel leads to."""
        return {
            TunnelName(server_id, name): port
            for server_id, link in self._links.items()
            for name, port in link.opened.items()
        }

    async def open(self, tunnel: Tunnel, local_port: int) -> None:
        """Returns when the proxy server listens. Raises TunnelFault."""
        link = self._links.get(tunnel.proxy_server_id)
        if link is None:
            raise TunnelFault(f"proxy server {tunnel.proxy_server_id} is not known to this node")
        await link.open(tunnel, local_port)

    async def close(self, names: Iterable[TunnelName]) -> None:
        """No new connections from now on; unknown names are ignored. Raises TunnelFault."""
        for name in names:
            link = self._links.get(name.proxy_server_id)
            if link is not None:
                await link.close(name.proxy_name)

    def states(self) -> Sequence[TunnelState]:
        """The connection to each proxy server."""
        return [link.state for link in self._links.values()]

    async def detach(self) -> None:
        """Lets go of the tunnels; they stay open."""
        await asyncio.gather(*(link.detach() for link in self._links.values()))

    async def shut_down(self) -> None:
        """Ends all tunnels and their processes."""
        self._links |= {server_id: link for server_id, link in self._left_behind() if server_id not in self._links}
        await asyncio.gather(*(link.shut_down() for link in self._links.values()))
        self._links.clear()

    def _left_behind(self) -> Iterator[tuple[str, FrpcLink]]:
        """The links by the notes of an earlier agent."""
        for folder in notes_in(self._folder):
            process = FrpcProcess(self._binary, folder, self._boot_id)
            note = process.read_note()
            if note is not None:
                yield note.proxy_server_id, FrpcLink(note.proxy_server_id, process)

    def _link(self, server_id: str) -> FrpcLink:
        link = self._links.get(server_id)
        if link is None:
            process = FrpcProcess(self._binary, self._folder / folder_name(server_id), self._boot_id)
            link = FrpcLink(server_id, process)
            self._links[server_id] = link
        return link


async def _logged(server_id: str, change: Coroutine[Any, Any, None]) -> None:
    """One proxy server that cannot be reached must not keep the node from the others: its link goes on trying."""
    try:
        await change
    except TunnelFault as fault:
        log.warning("proxy_server_unavailable", extra={"proxy_server": server_id, "error": str(fault)})
