"""The engine, the simulation and the registry that the tests of the runtimes use."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest

from ..support.frps import binary
from .images import BUSYBOX, BUSYBOX_LINKS, TestImages, busybox_files, engine_host, layer
from .lab import DockerLab, DockerLabSettings, Lab, SimulatedLab
from .registry import Registry

LabKind = TypeVar("LabKind", bound=Lab)


@pytest.fixture(scope="session")
def test_images() -> Iterator[TestImages]:
    images = TestImages()
    yield images
    images.remove_all()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    registry = Registry(tmp_path_factory.mktemp("registry"))
    yield registry
    registry.close()


@pytest.fixture(scope="session")
def busybox_layer() -> bytes:
    """A layer that makes an image with a shell."""
    return layer({"bin/busybox": BUSYBOX.read_bytes()}, BUSYBOX_LINKS)


@pytest.fixture(scope="session")
def docker_lab_settings(test_images: TestImages, registry: Registry) -> DockerLabSettings:
    return DockerLabSettings(
        docker_host=engine_host(),
        guest=binary("DCOMPUTE_GUEST", "guest"),
        image=test_images.make("shell", busybox_files(), ["ENV FROM_IMAGE=yes"]),
        unknown_image=f"{registry.host}/nobody/has-this:1",
    )


@pytest.fixture
async def docker_lab(docker_lab_settings: DockerLabSettings) -> AsyncIterator[DockerLab]:
    async with opened(DockerLab(docker_lab_settings)) as lab:
        yield lab


@pytest.fixture(params=["simulated", pytest.param("docker", marks=pytest.mark.docker)])
async def lab(request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    simulated = request.param == "simulated"
    lab = SimulatedLab() if simulated else DockerLab(request.getfixturevalue("docker_lab_settings"))
    async with opened(lab):
        yield lab


@asynccontextmanager
async def opened(lab: LabKind) -> AsyncGenerator[LabKind, None]:
    """A lab whose runtime is loaded; all that was made in it is removed, whatever happens."""
    try:
        await lab.runtime.load()
        yield lab
    finally:
        await lab.close()
