"""What many tests start from."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .support.agent import Host
from .support.backend import BackendDouble, running_backend


@pytest.fixture
async def backend() -> AsyncIterator[BackendDouble]:
    async with running_backend() as double:
        yield double


@pytest.fixture
async def host(backend: BackendDouble, tmp_path: Path) -> AsyncIterator[Host]:
    """A machine whose agents find the backend."""
    host = Host(tmp_path / "state", backend.url)
    yield host
    await host.machine.close()
