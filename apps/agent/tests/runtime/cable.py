"""The cable between a runtime and its engine, which a test can pull out or clog."""

import asyncio
from contextlib import suppress
from pathlib import Path

CHUNK = 64 * 1024


class Cable:
    """A Unix socket that forwards to the engine's."""

    def __init__(self, path: Path, docker_host: str) -> None:
        self._path = path
        self._engine = docker_host.removeprefix("unix://")
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        #: Requests with these bytes are lost on the way.
        self.swallowed: bytes | None = None

    @property
    def docker_host(self) -> str:
        return f"unix://{self._path}"

    async def plug_in(self) -> None:
        """Lets new connections through."""
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def pull_out(self) -> None:
        """Ends every connection and refuses new ones."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
        self._flows.set()
        for end in self._ends:
            end.transport.abort()
        await asyncio.gather(*self._tasks)
        self._ends.clear()

    def clog(self) -> None:
        """Accepts connections and lets nothing through any more."""
        self._flows.clear()

    def unclog(self) -> None:
        """Lets everything through again."""
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._ends.add(writer)
        try:
            engine_reader, engine_writer = await asyncio.open_unix_connection(self._engine)
            self._ends.add(engine_writer)
            await asyncio.gather(self._forward(reader, engine_writer), self._forward(engine_reader, writer))
        finally:
            self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                await self._flows.wait()
                if self.swallowed is not None and self.swallowed in chunk:
                    continue
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()
