"""What an engine says is bounded: an image decides a part of it."""

import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from dcompute_agent.runtime.docker.engine import MAX_ARCHIVE_BYTES, Engine

from .images import archive

CHUNK = bytes(64 * 1024)


class ArchiveServer:
    """An engine that answers every question for a file, with an archive that it was given or one that never ends."""

    def __init__(self) -> None:
        self.begin = b""
        self.is_endless = False
        self.sent = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(self.begin)
        while self.is_endless:
            try:
                await response.write(CHUNK)
            except ConnectionResetError:
                break
            self.sent += len(CHUNK)
        return response


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ArchiveServer]:
    made = ArchiveServer()
    app = web.Application()
    app.router.add_get("/{tail:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "engine.sock")).start()
    yield made
    await runner.cleanup()


@pytest.fixture
async def engine(tmp_path: Path, server: ArchiveServer) -> AsyncIterator[Engine]:
    made = Engine(f"unix://{tmp_path / 'engine.sock'}")
    yield made
    await made.close()


async def test_a_small_file_is_read(engine: Engine, server: ArchiveServer) -> None:
    server.begin = archive({"complete": b"sum"})

    assert await engine.read_file("c", "/.dcompute/complete") == b"sum"


async def test_a_file_without_end_is_not_read_into_memory(engine: Engine, server: ArchiveServer) -> None:
    member = tarfile.TarInfo("complete")
    member.size = 1 << 40
    server.begin, server.is_endless = member.tobuf(), True

    assert await engine.read_file("c", "/.dcompute/complete") is None

    # What the sockets between hold comes on top of what was read.
    assert server.sent < 16 * MAX_ARCHIVE_BYTES


async def test_a_folder_or_a_link_in_place_of_the_file_is_none(engine: Engine, server: ArchiveServer) -> None:
    for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE):
        member = tarfile.TarInfo("complete")
        member.type = kind
        server.begin = member.tobuf() + archive({"complete/sum": b"sum"})

        assert await engine.read_file("c", "/.dcompute/complete") is None
