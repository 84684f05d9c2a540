"""The agent as its host runs it: a process of its own."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dcompute_agent.process import find_processes

from ..support.waiting import until


@dataclass
class AgentCommand:
    """`dcompute-agent` with one environment."""

    state_dir: Path
    environment: Mapping[str, str]
    processes: list[asyncio.subprocess.Process] = field(default_factory=list[asyncio.subprocess.Process])

    async def start(self) -> asyncio.subprocess.Process:
        """`run`, up."""
        process = await self.spawn("run")
        self.processes.append(process)
        await until(lambda: self.is_up(process), limit_s=40, what="the agent to be up")
        return process

    async def is_up(self, process: asyncio.subprocess.Process) -> bool:
        assert process.returncode is None, f"the agent ended with {process.returncode}"
        return (await self.call("status"))[0] == 0

    async def call(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, output and errors of a command."""
        process = await self.spawn(*arguments)
        output, errors = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode(), errors.decode()

    async def status(self) -> dict[str, Any]:
        code, output, errors = await self.call("status")
        assert code == 0, errors
        return json.loads(output)

    async def spawn(self, *arguments: str) -> asyncio.subprocess.Process:
        """A command that may go on."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "dcompute_agent",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL if arguments[0] == "run" else asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], **self.environment},
        )


@contextlib.asynccontextmanager
async def agent_command(state_dir: Path, environment: Mapping[str, str]) -> AsyncGenerator[AgentCommand]:
    """The command; all processes that it started are ended, frpc too."""
    command = AgentCommand(state_dir, {"DCOMPUTE_STATE_DIR": str(state_dir), **environment})
    try:
        yield command
    finally:
        for process in command.processes:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.communicate()
        for config in state_dir.glob("frpc/*/frpc.json"):
            for left in find_processes(["-c", str(config)]):
                await left.end(5)
