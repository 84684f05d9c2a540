"""A slow way to a registry: a pull through it lasts long enough to be cancelled."""

import asyncio
from contextlib import suppress

CHUNK = 16 * 1024
SLOW_CHUNK = 1024
SLOW_PAUSE_S = 0.02


class Gate:
    """Forwards connections to a port; after `budget` bytes of answers it lets through only a trickle."""

    def __init__(self, target_port: int, budget: int) -> None:
        self._target_port = target_port
        self._budget = budget
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        #: Connections over which an answer trickles now.
        self.slow = 0
        self.slowed = asyncio.Event()

    @property
    def host(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def open(self) -> None:
        """Begins to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def close(self) -> None:
        """Ends every connection."""
        if self._server is not None:
            self._server.close()
        for end in self._ends:
            end.transport.abort()
        await asyncio.gather(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._ends |= {writer, upstream_writer}
            await asyncio.gather(
                self._forward(reader, upstream_writer), self._answer(upstream_reader, writer), return_exceptions=True
            )
        except OSError:
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                upstream.write(chunk)
        upstream.transport.abort()

    async def _answer(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while self._budget > 0 and (chunk := await upstream.read(CHUNK)):
                self._budget -= len(chunk)
                writer.write(chunk)
                await writer.drain()
            if self._budget <= 0:
                await self._trickle(upstream, writer)
        writer.transport.abort()

    async def _trickle(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.slow += 1
        self.slowed.set()
        try:
            while chunk := await upstream.read(SLOW_CHUNK):
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(SLOW_PAUSE_S)
        finally:
            self.slow -= 1
