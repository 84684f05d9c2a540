"""A way to a registry that lets only so many bytes through: a pull that never ends by itself."""

import asyncio
from contextlib import suppress

CHUNK = 16 * 1024


class Gate:
    """Forwards connections to a port; after `budget` bytes of answers it holds back the rest."""

    def __init__(self, target_port: int, budget: int) -> None:
        self._target_port = target_port
        self._budget = budget
        self._server: asyncio.Server | None = None
        #: Connections whose answers are held back now.
        self.held = 0
        self.stalled = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

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
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        answers = asyncio.create_task(self._answer(upstream_reader, writer))
        try:
            # The other side hanging up ends this loop: then nobody waits for the rest any more.
            while chunk := await reader.read(CHUNK):
                upstream_writer.write(chunk)
        except OSError:
            pass
        finally:
            answers.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await answers
            for end in (upstream_writer, writer):
                end.transport.abort()
            self._tasks.discard(task)

    async def _answer(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await upstream.read(CHUNK):
            if self._budget < len(chunk):
                self.held += 1
                self.stalled.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    self.held -= 1
            self._budget -= len(chunk)
            writer.write(chunk)
            await writer.drain()
