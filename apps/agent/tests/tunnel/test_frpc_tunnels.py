"""Tunnels through the real frps and frpc."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import pytest

from dcompute_agent.process import ProcessRef, find_processes
from dcompute_agent.protocol.models import Tunnel, TunnelType
from dcompute_agent.tunnel.base import TunnelFault, TunnelName
from dcompute_agent.tunnel.frpc import FrpcTunnels

from ..support.frps import Certificates, Frps, binary, free_port, running_frps
from ..support.waiting import until

pytestmark = pytest.mark.frp

NODE = "7b0c1f0e-5a52-4b7e-9a53-2f6d7b1f2a01"
BOOT = "boot-1"
Agents = Callable[[], FrpcTunnels]


@pytest.fixture
async def frps(tmp_path: Path) -> AsyncIterator[Frps]:
    async with running_frps(tmp_path / "frps") as server:
        yield server


@pytest.fixture
async def agents(tmp_path: Path) -> AsyncIterator[Agents]:
    """Makes the tunnels of one agent after another on the same state directory; ends what they leave."""
    made: list[FrpcTunnels] = []

    def make() -> FrpcTunnels:
        made.append(FrpcTunnels(binary("DCOMPUTE_FRPC", "frpc"), tmp_path / "state", BOOT))
        return made[-1]

    yield make
    for tunnels in made:
        await tunnels.detach()
    for process in frpc_processes(tmp_path):
        await process.end(5)


def frpc_processes(tmp_path: Path) -> list[ProcessRef]:
    return [
        process
        for config in (tmp_path / "state").glob("frpc/*/frpc.json")
        for process in find_processes(["-c", str(config)])
    ]


@contextlib.asynccontextmanager
async def echo_service(prefix: bytes = b"") -> AsyncGenerator[int]:
    """A program in an instance: says its prefix and then everything that it hears."""

    handlers: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers[asyncio.current_task()] = writer
        writer.write(prefix)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1024):
                writer.write(data)
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in handlers.values():
            writer.transport.abort()
        await asyncio.gather(*(handler for handler in handlers if handler is not None))


class Caller:
    """A user's open connection through a public port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def dial(cls, port: int) -> "Caller":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def read(self, count: int) -> bytes:
        async with asyncio.timeout(10):
            return await self._reader.readexactly(count)

    def say(self, text: bytes) -> None:
        self._writer.write(text)

    async def echo(self, text: bytes) -> bytes:
        self.say(text)
        await self._writer.drain()
        return await self.read(len(text))

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


def tcp_tunnel(name: str, remote_port: int, server_id: str = "proxy-1") -> Tunnel:
    return Tunnel(
        proxy_server_id=server_id, proxy_name=name, type=TunnelType.TCP, container_port=22, remote_port=remote_port
    )


async def answers(port: int, greeting: bytes) -> bool:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
        caller = await Caller.dial(port)
        try:
            async with asyncio.timeout(1):
                return await caller.read(len(greeting)) == greeting
        finally:
            await caller.close()
    return False


async def test_an_open_tunnel_leads_from_the_public_port_to_the_instance(frps: Frps, agents: Agents) -> None:
    tunnels, port = agents(), free_port()
    await tunnels.configure(NODE, [frps.access()])
    async with echo_service(b"SSH-2.0-DCompute\r\n") as local_port:
        await tunnels.open(tcp_tunnel("dc-a-22", port), local_port)

        assert tunnels.opened() == {TunnelName("proxy-1", "dc-a-22"): local_port}
        assert await answers(port, b"SSH-2.0-DCompute\r\n")
        (state,) = tunnels.states()
        assert state.connected


async def test_closing_one_tunnel_does_not_blink_another(frps: Frps, agents: Agents) -> None:
    tunnels, port, other_port = agents(), free_port(), free_port()
    await tunnels.configure(NODE, [frps.access()])
    async with echo_service() as local_port:
        await tunnels.open(tcp_tunnel("dc-a-22", port), local_port)
        await tunnels.open(tcp_tunnel("dc-b-22", other_port), local_port)
        caller = await Caller.dial(other_port)
        assert await caller.echo(b"before") == b"before"

        await tunnels.close([TunnelName("proxy-1", "dc-a-22")])
        await until(lambda: refuses(port), what="the closed port to refuse")

        assert await caller.echo(b"after") == b"after"
        assert tunnels.opened() == {TunnelName("proxy-1", "dc-b-22"): local_port}
        await caller.close()


async def test_a_later_agent_adopts_frpc_and_its_open_connections(frps: Frps, agents: Agents, tmp_path: Path) -> None:
    first, port = agents(), free_port()
    await first.configure(NODE, [frps.access()])
    async with echo_service() as local_port:
        await first.open(tcp_tunnel("dc-a-22", port), local_port)
        caller = await Caller.dial(port)
        before = frpc_processes(tmp_path)
        await first.detach()

        second = agents()
        await second.load()
        await second.configure(NODE, [frps.access()])

        assert frpc_processes(tmp_path) == before
        assert second.opened() == first.opened()
        assert await caller.echo(b"still here") == b"still here"
        await second.close([TunnelName("proxy-1", "dc-a-22")])
        await until(lambda: refuses(port), what="the adopted tunnel to close")
        await caller.close()


async def test_a_proxy_server_with_another_certificate_is_refused(frps: Frps, agents: Agents, tmp_path: Path) -> None:
    (tmp_path / "stranger").mkdir()
    tunnels = agents()
    await tunnels.configure(NODE, [frps.access(ca_pem=Certificates(tmp_path / "stranger").ca_pem)])

    await until(lambda: any("x509" in (state.error or "") for state in tunnels.states()), what="the refusal to be said")

    assert not any(state.connected for state in tunnels.states())


async def test_frpc_that_died_is_started_again_with_its_tunnels(frps: Frps, agents: Agents, tmp_path: Path) -> None:
    tunnels, port = agents(), free_port()
    await tunnels.configure(NODE, [frps.access()])
    async with echo_service(b"hi") as local_port:
        await tunnels.open(tcp_tunnel("dc-a-22", port), local_port)
        (before,) = frpc_processes(tmp_path)

        before.send(signal.SIGKILL)
        await before.ended()

        await until(lambda: answers(port, b"hi"), what="the tunnel to return")
        assert before not in frpc_processes(tmp_path)


async def test_frpc_that_died_with_its_agent_is_started_again_before_the_backend_is_heard(
    frps: Frps, agents: Agents, tmp_path: Path
) -> None:
    first, port = agents(), free_port()
    await first.configure(NODE, [frps.access()])
    async with echo_service(b"hi") as local_port:
        await first.open(tcp_tunnel("dc-a-22", port), local_port)
        await first.detach()
        for process in frpc_processes(tmp_path):
            await process.end(5)

        second = agents()
        await second.load()

        await until(lambda: answers(port, b"hi"), what="the tunnel to return")


async def test_after_a_reboot_no_public_port_leads_to_a_stale_loopback_port(
    frps: Frps, agents: Agents, tmp_path: Path
) -> None:
    first, port = agents(), free_port()
    await first.configure(NODE, [frps.access()])
    async with echo_service(b"hi") as local_port:
        await first.open(tcp_tunnel("dc-a-22", port), local_port)
        await first.detach()
        for process in frpc_processes(tmp_path):
            await process.end(5)

        second = FrpcTunnels(binary("DCOMPUTE_FRPC", "frpc"), tmp_path / "state", "boot-2")
        await second.load()
        try:
            assert second.opened() == {}
            await until(lambda: any(state.connected for state in second.states()), what="frpc to log in")
            assert await refuses(port)
        finally:
            await second.shut_down()


async def test_a_port_that_is_taken_is_a_fault_that_leaves_nothing_and_can_be_tried_again(
    frps: Frps, agents: Agents
) -> None:
    tunnels = agents()
    await tunnels.configure(NODE, [frps.access()])
    async with echo_service(b"hi") as local_port:
        async with echo_service() as taken:
            with pytest.raises(TunnelFault, match="refused dc-a-22"):
                await tunnels.open(tcp_tunnel("dc-a-22", taken), local_port)
            assert tunnels.opened() == {}

        await tunnels.open(tcp_tunnel("dc-a-22", taken), local_port)

        assert await answers(taken, b"hi")


async def test_a_tunnel_follows_its_instance_to_another_loopback_port(frps: Frps, agents: Agents) -> None:
    tunnels, port = agents(), free_port()
    await tunnels.configure(NODE, [frps.access()])
    async with echo_service(b"old") as old_port, echo_service(b"new") as new_port:
        await tunnels.open(tcp_tunnel("dc-a-22", port), old_port)
        await tunnels.open(tcp_tunnel("dc-a-22", port), new_port)

        assert await answers(port, b"new")


async def test_a_proxy_server_that_is_away_is_joined_when_it_returns(frps: Frps, agents: Agents) -> None:
    tunnels, port = agents(), free_port()
    await tunnels.configure(NODE, [frps.access()])
    async with echo_service(b"hi") as local_port:
        await tunnels.open(tcp_tunnel("dc-a-22", port), local_port)
        await frps.kill()
        await until(lambda: not any(state.connected for state in tunnels.states()), what="the loss to be noticed")

        await frps.start()

        await until(lambda: answers(port, b"hi"), limit_s=40, what="the tunnel to return")


async def test_an_http_tunnel_is_opened_under_its_host_name(frps: Frps, agents: Agents) -> None:
    tunnels = agents()
    await tunnels.configure(NODE, [frps.access()])
    async with echo_service(b"HTTP/1.1 204 No Content\r\n\r\n") as local_port:
        tunnel = Tunnel(
            proxy_server_id="proxy-1",
            proxy_name="dc-a-8888",
            type=TunnelType.HTTP,
            container_port=8888,
            subdomain="8888-a",
        )
        await tunnels.open(tunnel, local_port)

        caller = await Caller.dial(frps.vhost_port)
        caller.say(b"GET / HTTP/1.1\r\nHost: 8888-a.apps.test.internal\r\n\r\n")
        assert await caller.read(12) == b"HTTP/1.1 204"
        await caller.close()


async def test_shut_down_ends_frpc_and_removes_its_secrets(frps: Frps, agents: Agents, tmp_path: Path) -> None:
    tunnels = agents()
    await tunnels.configure(NODE, [frps.access()])
    (process,) = frpc_processes(tmp_path)

    await tunnels.shut_down()

    assert not process.is_alive()
    assert list((tmp_path / "state" / "frpc").iterdir()) == []


async def test_the_files_of_frpc_are_closed_to_others(frps: Frps, agents: Agents, tmp_path: Path) -> None:
    tunnels = agents()
    await tunnels.configure(NODE, [frps.access()])

    (folder,) = (tmp_path / "state" / "frpc").iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "frpc.json").stat().st_mode & 0o077 == 0


async def test_a_proxy_server_that_the_node_no_longer_uses_is_left(frps: Frps, agents: Agents, tmp_path: Path) -> None:
    tunnels = agents()
    await tunnels.configure(NODE, [frps.access("proxy-1"), frps.access("proxy-2")])
    assert len(frpc_processes(tmp_path)) == 2

    await tunnels.configure(NODE, [frps.access("proxy-1")])

    assert len(frpc_processes(tmp_path)) == 1
    assert [state.proxy_server_id for state in tunnels.states()] == ["proxy-1"]


async def refuses(port: int) -> bool:
    try:
        caller = await Caller.dial(port)
    except OSError:
        return True
    await caller.close()
    return False
