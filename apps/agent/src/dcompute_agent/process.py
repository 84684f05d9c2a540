"""Processes that outlive the one that started them: named by pid and start time, as pids are given out again."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
#: Fields of /proc/<pid>/stat after the command name, which may itself hold spaces and brackets.
STATE_FIELD = 0
START_TIME_FIELD = 19


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """One process for ever: `start_time` is in clock ticks since boot, so it is only valid within one boot."""

    pid: int
    start_time: int

    def is_alive(self) -> bool:
        """A zombie counts as gone; one that is our child is collected."""
        _reap(self.pid)
        return start_time_of(self.pid) == self.start_time

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to exactly this process; nothing happens when it is gone."""
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            try:
                if self.is_alive():
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)

    async def ended(self) -> None:
        """Returns when the process is gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        try:
            if self.is_alive():
                loop.add_reader(descriptor, gone.set)
                await gone.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        _reap(self.pid)

    async def end(self, grace_s: float) -> None:
        """SIGTERM, and SIGKILL when that was not enough."""
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await self.ended()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.ended()


def start_time_of(pid: int) -> int | None:
    """When a process began; None when there is none, or only its zombie."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split(" ")
    return None if fields[STATE_FIELD] in ("Z", "X") else int(fields[START_TIME_FIELD])


def ref_of(pid: int) -> ProcessRef | None:
    """Names a process that runs now."""
    start_time = start_time_of(pid)
    return None if start_time is None else ProcessRef(pid, start_time)


def spawn_detached(command: Sequence[str], environment: Mapping[str, str], output: Path) -> ProcessRef:
    """Starts a process in a session of its own, so that no signal meant for us reaches it. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    pid = os.posix_spawn(
        command[0],
        list(command),
        dict(environment),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(output), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    # Ours until it is collected, so its entry cannot vanish before it was read.
    return ProcessRef(pid, start_time_of(pid) or 0)


def find_processes(arguments: Sequence[str]) -> list[ProcessRef]:
    """Running processes whose arguments end like this. None of a container: there a renter decides on arguments."""
    wanted = [argument.encode() for argument in arguments]
    own_namespace = _pid_namespace("self")
    found: list[ProcessRef] = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            if _pid_namespace(entry.name) != own_namespace:
                continue
            command = (entry / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            reference = ref_of(int(entry.name)) if command[-len(wanted) :] == wanted else None
            if reference is not None:
                found.append(reference)
    return found


def _pid_namespace(pid: str) -> str:
    return os.readlink(PROC / pid / "ns" / "pid")


def _reap(pid: int) -> None:
    """Collects a child of ours that ended; an adopted process is collected by init."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
