"""`dcompute-agent run | status | down` on simulated instances."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dcompute_agent.protocol import models as m

from ..support.backend import HOST_KEY, BackendDouble
from ..support.conversation import join, run
from ..support.fixtures import wish
from .agent_process import AgentCommand, agent_command


@pytest.fixture
async def command(backend: BackendDouble, tmp_path: Path) -> AsyncIterator[AgentCommand]:
    # Deeper than a unix socket's path may be.
    state_dir = tmp_path / ("deep-" * 20) / "state"
    environment = {
        "DCOMPUTE_BACKEND_URL": backend.url,
        "DCOMPUTE_HOST_KEY": HOST_KEY,
        "DCOMPUTE_RUNTIME": "simulated",
    }
    async with agent_command(state_dir, environment) as made:
        yield made


async def test_status_is_one_json_object_once_the_agent_is_up(command: AgentCommand, backend: BackendDouble) -> None:
    process = await command.start()
    session = await join(backend)
    await session.expect(m.Heartbeat)

    status = await command.status()

    assert status["pid"] == process.pid
    assert status["connection"] == "connected"
    assert status["node_id"]


async def test_status_without_an_agent_says_so_in_a_sentence(command: AgentCommand) -> None:
    code, output, errors = await command.call("status")

    assert (code, output) == (1, "")
    assert errors.startswith("dcompute-agent: no agent runs on ")


async def test_a_wrong_configuration_is_named_and_nothing_is_started(command: AgentCommand) -> None:
    code, _, errors = await command.call("down", "--offline", "--backend-url", "ws://example.com")

    assert code == 2
    assert "DCOMPUTE_BACKEND_URL: ws:// is allowed to loopback only" in errors


async def test_a_second_agent_on_one_state_directory_is_refused(command: AgentCommand) -> None:
    first = await command.start()

    second = await command.spawn("run")
    await second.communicate()

    assert second.returncode == 1
    assert first.returncode is None


async def test_sigterm_ends_the_agent_in_order(command: AgentCommand, backend: BackendDouble) -> None:
    process = await command.start()
    session = await join(backend)
    await run(session, 1, wish())

    process.send_signal(signal.SIGTERM)

    async with asyncio.timeout(15):
        assert await process.wait() == 0
    assert await session.closed() == 1001


async def test_down_stops_every_instance_says_why_and_ends_the_agent(
    command: AgentCommand, backend: BackendDouble
) -> None:
    process = await command.start()
    session = await join(backend)
    await run(session, 1, wish(1), wish(2))

    code, output, errors = await command.call("down")

    assert (code, json.loads(output)) == (0, {"stopped": 2}), errors
    # `down` has waited for that.
    async with asyncio.timeout(5):
        assert await process.wait() == 0
    for number in (1, 2):
        report = await session.phase(wish(number), "stopped")
        assert report.reason is m.RentalEndReason.NODE_SHUTDOWN


async def test_after_its_return_a_node_goes_on_with_what_its_shutdown_stopped(
    command: AgentCommand, backend: BackendDouble
) -> None:
    await command.start()
    session = await join(backend)
    await run(session, 1, wish())
    assert (await command.call("down"))[0] == 0

    await command.start()
    session = await join(backend)
    await session.desire(1, wish())

    await session.phase(wish(), "running")


async def test_down_offline_is_refused_while_an_agent_runs(command: AgentCommand) -> None:
    await command.start()

    code, _, errors = await command.call("down", "--offline")

    assert code == 1
    assert "an agent runs already" in errors


async def test_down_offline_on_a_node_that_never_ran_has_nothing_to_do(command: AgentCommand) -> None:
    code, output, errors = await command.call("down", "--offline")

    assert (code, json.loads(output)) == (0, {"stopped": 0}), errors
