"""The command line: `dcompute-agent run | status | down [--offline]`."""

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .assembly import assemble
from .clock import SystemClock
from .config import AgentConfig, ConfigError, add_config_flags, load_config, state_dir_of
from .control import AgentLock, ControlError, ask_agent
from .inventory.machine import UnsupportedMachineError
from .logs import set_up_logging
from .node import Node
from .shutdown import take_down_offline

STATUS_LIMIT_S = 5.0
DOWN_LIMIT_S = 75.0
END_LIMIT_S = 30.0
STATE_DIR_MODE = 0o700


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Exit code 0: done; 1: not done, with the reason on standard error; 2: wrong configuration."""
    flags = _parser().parse_args(arguments)
    try:
        return asyncio.run(_run_command(flags, os.environ))
    except ConfigError as error:
        print(f"dcompute-agent: {error}", file=sys.stderr)
        return 2
    except (ControlError, UnsupportedMachineError, OSError, sqlite3.Error) as error:
        print(f"dcompute-agent: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dcompute-agent", description="The host agent of DistributedCompute.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="serve rentals until SIGTERM; they outlive the agent")
    status = commands.add_parser("status", help="print the state of the running agent as JSON")
    down = commands.add_parser("down", help="stop all instances (disks are kept), the tunnels and the agent")
    down.add_argument("--offline", action="store_true", help="the same while no agent runs")
    for command in (run, status, down):
        add_config_flags(command)
    return parser


async def _run_command(flags: argparse.Namespace, environment: Mapping[str, str]) -> int:
    state_dir = state_dir_of(flags, environment)
    if flags.command == "status":
        _print(await ask_agent(state_dir, "status", STATUS_LIMIT_S))
    elif flags.command == "run":
        await _run(load_config(flags, environment))
    elif flags.offline:
        _print(await _down_offline(load_config(flags, environment)))
    else:
        _print(await _down(state_dir))
    return 0


async def _run(config: AgentConfig) -> None:
    set_up_logging()
    _prepare(config.state_dir)
    # Before anything is read: an agent that still ends writes until it lets go of the lock.
    lock = AgentLock(config.state_dir)
    lock.take()
    try:
        node = Node(assemble(config, SystemClock()))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, node.stop)
        await node.run()
    finally:
        lock.release()


async def _down(state_dir: Path) -> Mapping[str, object]:
    """Has the running agent take the node down, and waits for its end."""
    answer = await ask_agent(state_dir, "down", DOWN_LIMIT_S)
    try:
        async with asyncio.timeout(END_LIMIT_S):
            await AgentLock(state_dir).wait_free()
    except TimeoutError:
        raise ControlError("the instances are stopped, but the agent did not end") from None
    return answer


async def _down_offline(config: AgentConfig) -> Mapping[str, object]:
    set_up_logging()
    _prepare(config.state_dir)
    lock = AgentLock(config.state_dir)
    lock.take()
    parts = assemble(config, SystemClock())
    try:
        return await take_down_offline(parts)
    finally:
        await parts.executor.close()
        await parts.runtime.close()
        await parts.journal.close()
        lock.release()


def _prepare(state_dir: Path) -> None:
    """Makes the state directory; it holds the node's key and the renters' secrets."""
    state_dir.mkdir(mode=STATE_DIR_MODE, parents=True, exist_ok=True)


def _print(answer: Mapping[str, object]) -> None:
    print(json.dumps(answer))


if __name__ == "__main__":
    sys.exit(main())
