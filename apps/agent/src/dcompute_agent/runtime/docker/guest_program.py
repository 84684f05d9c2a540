"""The program that is PID 1 of every instance."""

import asyncio
from pathlib import Path

from ..base import FaultKind, RuntimeFault


class GuestProgram:
    """The guest's file, kept in memory for as long as it stays the same on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._content = b""

    async def read(self) -> bytes:
        """The whole program. Raises RuntimeFault(INTERNAL)."""
        try:
            status = self._path.stat()
            stamp = status.st_ino, status.st_size, status.st_mtime_ns
            if stamp != self._stamp:
                self._content = await asyncio.to_thread(self._path.read_bytes)
                self._stamp = stamp
        except OSError as error:
            raise RuntimeFault(FaultKind.INTERNAL, f"the guest cannot be read: {error}") from error
        return self._content
