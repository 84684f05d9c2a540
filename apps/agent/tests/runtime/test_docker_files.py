"""What the runtime puts into a container, and what an interrupted create leaves behind."""

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from dcompute_agent.protocol.models import InstanceSpec
from dcompute_agent.runtime.base import Container, ContainerState, RuntimeFault
from dcompute_agent.runtime.docker import DockerRuntime, DockerSettings
from dcompute_agent.runtime.names import container_name
from dcompute_agent.runtime.profile import EngineAbilities, container_config

from .images import BUSYBOX, BUSYBOX_LINKS, TestImages, archive, busybox_files
from .lab import KEY, DockerLab

pytestmark = pytest.mark.docker


async def files_of(lab: DockerLab, container: Container) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    tar: tarfile.TarFile = await lab.docker.containers.container(container.container_id).get_archive("/.dcompute")
    found: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
    for member in tar.getmembers():
        content = tar.extractfile(member) if member.isfile() else None
        found[member.name.strip("/")] = member, content.read() if content else b""
    return found


async def test_the_guest_and_its_files_belong_to_root_and_secrets_to_root_alone(docker_lab: DockerLab) -> None:
    spec = docker_lab.spec()

    files = await files_of(docker_lab, await docker_lab.create(spec))

    assert {name: member.mode & 0o7777 for name, (member, _) in files.items()} == {
        ".dcompute": 0o755,
        ".dcompute/guest": 0o755,
        ".dcompute/config.json": 0o600,
        ".dcompute/ssh_host_key": 0o600,
        ".dcompute/authorized_keys": 0o600,
        ".dcompute/complete": 0o600,
    }
    assert {(member.uid, member.gid) for member, _ in files.values()} == {(0, 0)}
    assert files[".dcompute/guest"][1] == docker_lab.settings.guest.read_bytes()
    assert files[".dcompute/ssh_host_key"][1].decode() == spec.ssh_host_key
    assert files[".dcompute/authorized_keys"][1].decode() == f"{KEY}\n"
    assert files[".dcompute/complete"][1].decode() == spec.spec_sha


async def test_the_guest_learns_what_the_image_and_the_renter_want(
    docker_lab: DockerLab, test_images: TestImages
) -> None:
    changes = ['ENTRYPOINT ["/bin/sh","-c"]', 'CMD ["id"]', "ENV A=1", "WORKDIR /srv", "USER 12:34"]
    image = test_images.make("verbose", busybox_files(), changes)
    spec = docker_lab.spec(image=image, command=["env"], env_vars={"B": "2"})

    files = await files_of(docker_lab, await docker_lab.create(spec))

    assert json.loads(files[".dcompute/config.json"][1]) == {
        "version": 1,
        "rental_id": spec.rental_id,
        "run_type": "ssh",
        "image": {
            "entrypoint": ["/bin/sh", "-c"],
            "cmd": ["id"],
            "env": ["A=1"],
            "workdir": "/srv",
            "user": "12:34",
        },
        "command": ["env"],
        "env": {"B": "2"},
        "ssh_port": 22,
        "stop_grace_seconds": 10,
    }


async def test_an_image_without_a_shell_runs_and_answers(docker_lab: DockerLab, test_images: TestImages) -> None:
    bare = test_images.make("bare", archive({"data": b"no program at all"}))

    started = await docker_lab.run(docker_lab.spec(image=bare))

    await docker_lab.runtime.wait_ready(started)


async def interrupted_create(lab: DockerLab, spec: InstanceSpec) -> str:
    """What an agent leaves that is killed between making a container and filling it; returns the container's id."""
    config = container_config(lab.node_id, spec, 1, await lab.image_for(spec), [], EngineAbilities())
    made = await lab.docker.containers.create(config, name=container_name(spec.rental_id, 1))
    return str(made.id)


async def test_a_container_without_its_marker_is_incomplete_and_is_not_started(docker_lab: DockerLab) -> None:
    spec = docker_lab.spec()
    container_id = await interrupted_create(docker_lab, spec)

    (found,) = await docker_lab.runtime.list_containers()

    assert (found.container_id, found.state) == (container_id, ContainerState.INCOMPLETE)
    with pytest.raises(RuntimeFault, match="never finished"):
        await docker_lab.runtime.start(found)


async def test_an_incomplete_container_is_replaced(docker_lab: DockerLab) -> None:
    spec = docker_lab.spec()
    container_id = await interrupted_create(docker_lab, spec)

    made = await docker_lab.create(spec)

    assert made.container_id != container_id
    assert list(await docker_lab.runtime.find(spec.rental_id)) == [made]
    await docker_lab.runtime.wait_ready(await docker_lab.runtime.start(made))


async def test_a_marker_that_the_image_brings_does_not_count(docker_lab: DockerLab, test_images: TestImages) -> None:
    forged = test_images.make("forged", archive({".dcompute/complete": b"yes"}))
    await interrupted_create(docker_lab, docker_lab.spec(image=forged))

    (found,) = await docker_lab.runtime.list_containers()

    assert found.state is ContainerState.INCOMPLETE


async def test_files_of_an_image_at_our_place_are_overruled(docker_lab: DockerLab, test_images: TestImages) -> None:
    hostile = test_images.make(
        "hostile", archive({".dcompute/guest": b"#!/bin/false"}, {".dcompute/config.json": "/x"})
    )

    started = await docker_lab.run(docker_lab.spec(image=hostile))

    await docker_lab.runtime.wait_ready(started)


@pytest.mark.parametrize(
    ("files", "changes"),
    [
        pytest.param(busybox_files(), ["VOLUME /.dcompute"], id="a volume in place of our folder"),
        pytest.param(archive({"etc/x": b""}, {".dcompute": "etc"}), [], id="a link in place of our folder"),
        pytest.param(archive({".dcompute": b"no folder"}), [], id="a file in place of our folder"),
        pytest.param(
            busybox_files(),
            [
                "USER nobody:nogroup",
                "ENTRYPOINT []",
                "ENV PATH=/nowhere LD_PRELOAD=/x GODEBUG=x=y",
            ],
            id="settings that would end PID 1",
        ),
    ],
)
async def test_an_image_cannot_keep_its_instance_from_serving(
    docker_lab: DockerLab, test_images: TestImages, files: bytes, changes: list[str]
) -> None:
    hostile = test_images.make("hostile", files, changes)

    started = await docker_lab.run(docker_lab.spec(image=hostile))

    await docker_lab.runtime.wait_ready(started)
    await docker_lab.runtime.write_keys(started, [KEY, "another"])
    assert await docker_lab.keys_of(started) == f"{KEY}\nanother\n"


@pytest.mark.parametrize(
    "trap",
    [
        "rm -rf /.dcompute && ln -s /srv /.dcompute",
        "rm /.dcompute/authorized_keys && ln -s /srv/authorized_keys /.dcompute/authorized_keys",
        "rm /.dcompute/authorized_keys && mkdir -p /.dcompute/authorized_keys/full",
        "rm /.dcompute/authorized_keys && mkfifo /.dcompute/authorized_keys",
    ],
)
async def test_keys_are_written_only_where_they_belong_whatever_the_renter_put_there(
    docker_lab: DockerLab, test_images: TestImages, trap: str
) -> None:
    image = test_images.make("traps", archive({"bin/busybox": BUSYBOX.read_bytes(), "srv/x": b""}, BUSYBOX_LINKS))
    started = await docker_lab.run(docker_lab.spec(image=image))
    code, output = await docker_lab.exec(started, "/bin/busybox", "sh", "-c", f"PATH=/bin; {as_busybox(trap)}")
    assert code == 0, output

    await docker_lab.runtime.write_keys(started, [KEY])

    assert await docker_lab.keys_of(started) == f"{KEY}\n"
    _, listing = await docker_lab.exec(started, "/bin/busybox", "ls", "/srv")
    assert listing.split() == ["x"]


def as_busybox(script: str) -> str:
    """The script with busybox in front of each of its programs."""
    return " && ".join(f"busybox {command}" for command in script.split(" && "))


async def test_keys_come_back_after_the_renter_removed_them(docker_lab: DockerLab) -> None:
    started = await docker_lab.run()
    await docker_lab.exec(started, "/bin/busybox", "rm", "-rf", "/.dcompute/authorized_keys")

    await docker_lab.runtime.write_keys(started, [KEY])

    assert await docker_lab.keys_of(started) == f"{KEY}\n"


async def test_without_a_guest_nothing_is_made(docker_lab: DockerLab, tmp_path: Path) -> None:
    settings = DockerSettings(guest=tmp_path / "nowhere", docker_host=docker_lab.settings.docker_host)
    runtime = DockerRuntime(settings, lambda: docker_lab.node_id)
    spec = docker_lab.spec()
    image = await docker_lab.image_for(spec)
    try:
        with pytest.raises(RuntimeFault, match="guest"):
            await runtime.create(spec, 1, image, [KEY])
    finally:
        await runtime.close()

    assert list(await docker_lab.runtime.find(spec.rental_id)) == []


async def test_create_looks_for_an_image_again_that_went_away(docker_lab: DockerLab) -> None:
    spec = docker_lab.spec()
    image = await docker_lab.image_for(spec)
    gone = replace(image, image_id=f"sha256:{'0' * 64}")

    made = await docker_lab.runtime.create(spec, 1, gone, [KEY])

    assert (await docker_lab.inspect(made))["Image"] == image.image_id
