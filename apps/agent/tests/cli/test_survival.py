"""On the real engine, through the real tunnel: an agent may end in any way, its instances and their sessions go on."""

import asyncio
import contextlib
import json
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dcompute_agent.protocol import models as m

from ..runtime.images import TestImages, busybox_files, docker, engine_host
from ..runtime.lab import KEY, host_key
from ..support.backend import HOST_KEY, AgentSession, BackendDouble
from ..support.fixtures import spec_for, wish
from ..support.frps import Frps, binary, free_port, running_frps
from ..support.waiting import until
from .agent_process import AgentCommand, agent_command

pytestmark = [pytest.mark.docker, pytest.mark.frp, pytest.mark.timeout(180)]


@dataclass
class Market:
    """One rental on one node: the backend, its proxy server, and what the renter sees."""

    backend: BackendDouble
    frps: Frps
    command: AgentCommand
    node_id: str
    item: m.DesiredInstance
    spec: m.InstanceSpec
    port: int

    async def session(self) -> AgentSession:
        access = self.frps.access().model_dump(mode="json")
        return await self.backend.welcomed(node_id=self.node_id, proxy_servers=[access], heartbeat_interval_ms=200)

    async def rent(self) -> AgentSession:
        """The rental, running."""
        session = await self.session()
        await session.desire(1, self.item)
        await session.expect(m.GetSpec)
        await session.send("spec", self.spec_message())
        await session.phase(self.item, "running")
        return session

    def spec_message(self) -> dict[str, Any]:
        return {
            "placement_id": self.item.placement_id,
            "spec_sha": self.spec.spec_sha,
            "spec": self.spec.model_dump(mode="json", exclude_none=True),
        }

    def containers(self, *flags: str) -> list[str]:
        return docker("ps", "-q", "--no-trunc", *flags, "--filter", f"label=dc.node={self.node_id}").split()


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    images = TestImages()
    yield images.make("survival", busybox_files())
    images.remove_all()


@pytest.fixture
async def market(backend: BackendDouble, tmp_path: Path, image: str) -> AsyncIterator[Market]:
    node_id, rental_id, port = str(uuid.uuid4()), str(uuid.uuid4()), free_port()
    spec = spec_for(
        rental_id,
        image=image,
        image_digest=None,
        registry_auth=None,
        run_type="ssh",
        command=[],
        env_vars={},
        container_ports=[22],
        ssh_host_key=host_key(),
        resource_limits={"cpu_cores": 0.5, "ram_limit": "64m", "pids": 64, "shm_mib": 8},
    )
    tunnel = {
        "proxy_server_id": "proxy-1",
        "proxy_name": f"dc-{rental_id}-22",
        "type": "tcp",
        "container_port": 22,
        "remote_port": port,
    }
    item = wish(rental_id=rental_id, spec_sha=spec.spec_sha, ssh_keys=[KEY], tunnels=[tunnel])
    environment = {
        "DCOMPUTE_BACKEND_URL": backend.url,
        "DCOMPUTE_HOST_KEY": HOST_KEY,
        "DCOMPUTE_FRPC": str(binary("DCOMPUTE_FRPC", "frpc")),
        "DCOMPUTE_GUEST": str(binary("DCOMPUTE_GUEST", "guest")),
        "DOCKER_HOST": engine_host(),
    }
    async with (
        running_frps(tmp_path / "frps") as frps,
        agent_command(tmp_path / "state", environment) as command,
    ):
        market = Market(backend, frps, command, node_id, item, spec, port)
        try:
            yield market
        finally:
            for process in command.processes:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            await command.call("down", "--offline")
            for container in market.containers("-a"):
                subprocess.run(["docker", "rm", "-f", "-v", container], capture_output=True, check=False, timeout=60)


class SshSession:
    """The first words of an SSH session through the public port, held open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def dial(cls, port: int) -> "SshSession":
        session = cls(*await asyncio.open_connection("127.0.0.1", port))
        async with asyncio.timeout(20):
            assert (await session._reader.readline()).startswith(b"SSH-2.0-DCompute")
        return session

    async def goes_on(self) -> bool:
        """The server answers our banner with its key exchange: nobody has cut the connection."""
        self._writer.write(b"SSH-2.0-test\r\n")
        async with asyncio.timeout(20):
            return len(await self._reader.readexactly(16)) == 16

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


async def answers(port: int) -> bool:
    with contextlib.suppress(OSError, AssertionError, TimeoutError):
        await (await SshSession.dial(port)).close()
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
async def test_instance_and_open_session_outlive_the_end_of_the_agent(market: Market, number: signal.Signals) -> None:
    agent = await market.command.start()
    await market.rent()
    before, ssh = market.containers(), await SshSession.dial(market.port)

    agent.send_signal(number)
    await agent.wait()
    assert await answers(market.port)

    await market.command.start()
    session = await market.session()
    await session.desire(1, market.item)
    beat = await session.expect(m.Heartbeat, lambda beat: beat.rev_applied == 1 and beat.usage)

    assert market.containers() == before
    assert await ssh.goes_on()
    await ssh.close()
    # Metered as one run: what was used while no agent was there is claimed too.
    assert {segment.container_id for segment in beat.usage} == set(before)


async def test_down_stops_the_instance_keeps_its_disk_and_leaves_no_process_or_network(market: Market) -> None:
    await market.command.start()
    await market.rent()

    code, output, errors = await market.command.call("down")

    assert (code, json.loads(output or "{}")) == (0, {"stopped": 1}), errors
    assert market.containers() == []
    assert len(market.containers("-a")) == 1
    assert docker("network", "ls", "-q", "--filter", f"label=dc.node={market.node_id}") == ""
    assert list((market.command.state_dir / "frpc").iterdir()) == []
    assert not await answers(market.port)


async def test_down_offline_does_the_same_after_the_agent_was_killed(market: Market) -> None:
    agent = await market.command.start()
    await market.rent()
    agent.kill()
    await agent.wait()

    code, output, errors = await market.command.call("down", "--offline")

    assert (code, json.loads(output or "{}")) == (0, {"stopped": 1}), errors
    assert market.containers() == []
    assert len(market.containers("-a")) == 1
    assert not await answers(market.port)

    # And the node's return runs the same container again, at the same address.
    await market.command.start()
    session = await market.session()
    await session.desire(1, market.item)
    await session.phase(market.item, "running")
    await until(lambda: answers(market.port), what="the instance at its address")
    assert len(market.containers("-a")) == 1
