"""The agent's local door: a unix socket in the state directory, for the host's own commands."""

import asyncio
import fcntl
import json
import os
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

SOCKET_FILE = "control.sock"
LOCK_FILE = "agent.lock"
MAX_LINE_BYTES = 64 * 1024
REQUEST_LIMIT_S = 5.0
LOCK_POLL_S = 0.05

#: What a command answers: one JSON object.
Answer = Mapping[str, object]
Command = Callable[[], Awaitable[Answer]]


class ControlError(Exception):
    """The command could not be done; the message is for the host."""


class AgentLock:
    """Held by the one agent of a state directory for as long as it runs; the kernel lets go of it at any death."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / LOCK_FILE
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises ControlError when another agent holds it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ControlError(f"an agent runs already on {self._path.parent}") from None
        self._descriptor = descriptor

    def release(self) -> None:
        """Lets go of it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    async def wait_free(self) -> None:
        """Returns when no agent runs on the state directory."""
        while True:
            try:
                self.take()
            except ControlError:
                await asyncio.sleep(LOCK_POLL_S)
            else:
                self.release()
                return


class ControlServer:
    """Answers one command per connection: a line with its name, then a line with a JSON object."""

    def __init__(self, state_dir: Path, commands: Mapping[str, Command]) -> None:
        self._state_dir = state_dir
        self._commands = commands
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listens. Only the host's own user (and root) may connect."""
        with _short_path(self._state_dir) as path:
            path.unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                self._server = await asyncio.start_unix_server(self._serve, str(path), limit=MAX_LINE_BYTES)
            finally:
                os.umask(before)

    async def close(self) -> None:
        """Listens no longer."""
        if self._server is not None:
            self._server.close()
            (self._state_dir / SOCKET_FILE).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_LIMIT_S):
                name = (await reader.readline()).decode().strip()
            command = self._commands.get(name)
            answer = await command() if command else {"error": f"unknown command {name}"}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except ControlError as error:
            writer.write(json.dumps({"error": str(error)}).encode() + b"\n")
        except (OSError, TimeoutError, ValueError):
            return
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def ask_agent(state_dir: Path, command: str, limit_s: float) -> dict[str, object]:
    """Has the running agent do a command. Raises ControlError, also when there is none."""
    try:
        async with asyncio.timeout(limit_s):
            with _short_path(state_dir) as path:
                reader, writer = await asyncio.open_unix_connection(str(path), limit=MAX_LINE_BYTES)
            try:
                writer.write(f"{command}\n".encode())
                line = await reader.readline()
            finally:
                writer.close()
    except TimeoutError:
        raise ControlError(f"the agent did not answer within {limit_s:g} s") from None
    except OSError:
        raise ControlError(f"no agent runs on {state_dir}") from None
    if not line:
        raise ControlError("the agent ended before it answered")
    answer: dict[str, object] = json.loads(line)
    if "error" in answer:
        raise ControlError(str(answer["error"]))
    return answer


@contextmanager
def _short_path(state_dir: Path) -> Generator[Path]:
    """The socket by a path that fits into the kernel's 108 bytes, however deep the state directory lies."""
    descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{descriptor}") / SOCKET_FILE
    finally:
        os.close(descriptor)
