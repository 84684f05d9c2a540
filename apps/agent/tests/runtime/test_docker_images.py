"""Pulls from a real registry."""

import asyncio
from collections.abc import Iterator

import pytest

from dcompute_agent.protocol.models import PullProgress, RegistryAuth
from dcompute_agent.runtime.base import FaultKind, RuntimeFault

from ..support.waiting import until
from .gate import Gate
from .images import TestImages, layer, noise
from .lab import DockerLab, ignore_progress, new_id
from .registry import Registry

pytestmark = pytest.mark.docker

MIB = 1024 * 1024
USER, PASSWORD = "renter", "secret-password"
#: bcrypt of the password, with the fewest rounds.
HTPASSWD = f"{USER}:$2b$04$B8HOxNetuJ1rX7z0IEXiOOPK51H.oyIJcX6JeVCfjfJFteeqHLJp."


@pytest.fixture(scope="module")
def private_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    registry = Registry(tmp_path_factory.mktemp("private"), HTPASSWD, (USER, PASSWORD))
    yield registry
    registry.close()


def layers(seed: int, *sizes: int) -> list[bytes]:
    return [layer({f"file{number}": noise(seed + number, size)}) for number, size in enumerate(sizes)]


async def test_a_pull_tells_its_progress_layer_by_layer(
    docker_lab: DockerLab, registry: Registry, test_images: TestImages, busybox_layer: bytes
) -> None:
    blobs = [busybox_layer, *layers(10, 2 * MIB, 3 * MIB)]
    name = f"{new_id('layered')}:1"
    digest = registry.push(name, blobs)
    test_images.remove_later(f"{registry.host}/{name}")
    spec = docker_lab.spec(image=f"{registry.host}/{name}")
    progress: list[PullProgress] = []

    image = await docker_lab.runtime.ensure_image(spec, progress.append)

    assert image.digest == digest
    assert image.environment == ("FROM_REGISTRY=yes",)
    assert image.command == ("/bin/sh",)
    last = progress[-1]
    assert (last.layers_done, last.layers_total) == (3, 3)
    assert last.bytes_done == last.bytes_total
    assert last.bytes_total >= 5 * MIB
    for figure in ("layers_done", "bytes_done", "bytes_total"):
        figures = [getattr(one, figure) for one in progress]
        assert figures == sorted(figures)
    # The image asks to be stopped by SIGQUIT: the guest is stopped by SIGTERM all the same.
    started = await docker_lab.run(spec)
    await docker_lab.runtime.wait_ready(started)
    assert (await docker_lab.runtime.stop(started, 5)).exit_code == 0


async def test_the_digest_decides_whatever_the_tag_says_by_now(
    docker_lab: DockerLab, registry: Registry, test_images: TestImages
) -> None:
    name = f"{new_id('moving')}:latest"
    reference = f"{registry.host}/{name}"
    old = registry.push(name, layers(20, 1000))
    new = registry.push(name, layers(30, 1000))
    for reference_by in (reference, f"{reference.removesuffix(':latest')}@{old}"):
        test_images.remove_later(reference_by)
    tagged = await docker_lab.image_for(docker_lab.spec(image=reference))

    pinned = await docker_lab.image_for(docker_lab.spec(image=reference, image_digest=old))

    assert (tagged.digest, pinned.digest) == (new, old)
    assert tagged.image_id != pinned.image_id


async def test_an_image_that_never_was_in_a_registry_can_be_pinned_by_its_id(docker_lab: DockerLab) -> None:
    local = await docker_lab.image_for(docker_lab.spec())

    pinned = await docker_lab.image_for(docker_lab.spec(image_digest=local.image_id))

    assert pinned.image_id == local.image_id


@pytest.mark.parametrize("image", ["nobody/has-this:1", "nobody/has-this", "NotAName:1"])
async def test_what_no_registry_has_is_not_found(docker_lab: DockerLab, registry: Registry, image: str) -> None:
    with pytest.raises(RuntimeFault) as fault:
        await docker_lab.image_for(docker_lab.spec(image=f"{registry.host}/{image}"))

    assert fault.value.kind is FaultKind.IMAGE_NOT_FOUND


async def test_a_tag_that_a_repository_lacks_is_not_found(docker_lab: DockerLab, registry: Registry) -> None:
    name = new_id("tagged")
    registry.push(f"{name}:1", layers(40, 100))

    with pytest.raises(RuntimeFault) as fault:
        await docker_lab.image_for(docker_lab.spec(image=f"{registry.host}/{name}:2"))

    assert fault.value.kind is FaultKind.IMAGE_NOT_FOUND


async def test_a_registry_that_is_away_fails_the_pull_and_may_be_tried_again(docker_lab: DockerLab) -> None:
    gate = Gate(1, 0)
    await gate.open()
    reference = f"{gate.host}/some/image:1"
    await gate.close()

    with pytest.raises(RuntimeFault) as fault:
        await docker_lab.image_for(docker_lab.spec(image=reference))

    assert fault.value.kind is FaultKind.PULL_FAILED


async def test_a_private_image_needs_the_login_that_comes_with_the_spec(
    docker_lab: DockerLab, private_registry: Registry, test_images: TestImages
) -> None:
    name = f"{new_id('private')}:1"
    digest = private_registry.push(name, layers(50, 1000))
    reference = f"{private_registry.host}/{name}"

    def login(password: str) -> RegistryAuth:
        return RegistryAuth(server=private_registry.host, username=USER, password=password)

    for registry_auth in (None, login("wrong")):
        with pytest.raises(RuntimeFault) as fault:
            await docker_lab.image_for(docker_lab.spec(image=reference, registry_auth=registry_auth))
        assert fault.value.kind is FaultKind.REFUSED

    test_images.remove_later(reference)
    image = await docker_lab.image_for(docker_lab.spec(image=reference, registry_auth=login(PASSWORD)))
    assert image.digest == digest


async def test_a_cancelled_pull_stops(docker_lab: DockerLab, registry: Registry) -> None:
    name = f"{new_id('slow')}:1"
    registry.push(name, layers(60, 4 * MIB))
    gate = Gate(registry.port, budget=MIB)
    await gate.open()
    try:
        spec = docker_lab.spec(image=f"{gate.host}/{name}")
        progress: list[PullProgress] = []
        pull = asyncio.create_task(docker_lab.runtime.ensure_image(spec, progress.append))
        await asyncio.wait_for(gate.slowed.wait(), 20)
        assert gate.slow > 0

        pull.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pull

        await until(lambda: gate.slow == 0, what="the engine hangs up on the registry")
    finally:
        await gate.close()


async def test_pulls_of_different_rentals_run_side_by_side(
    docker_lab: DockerLab, registry: Registry, test_images: TestImages
) -> None:
    names = [f"{new_id('parallel')}:1" for _ in range(3)]
    for seed, name in enumerate(names):
        registry.push(name, layers(70 + 10 * seed, 1000))
        test_images.remove_later(f"{registry.host}/{name}")

    specs = [docker_lab.spec(image=f"{registry.host}/{name}") for name in names]
    images = await asyncio.gather(*(docker_lab.runtime.ensure_image(spec, ignore_progress) for spec in specs))

    assert len({image.image_id for image in images}) == 3
