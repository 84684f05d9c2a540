"""Small images for the tests, made from what Debian ships, without a registry."""

import gzip
import io
import os
import random
import subprocess
import tarfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
APPLETS = ("sh", "sleep", "cat", "wget", "nslookup", "nc", "dd", "id", "true", "ip", "head", "env")


def docker(*arguments: str, data: bytes = b"") -> str:
    """Runs the Docker client against the engine of the tests."""
    run = subprocess.run(["docker", *arguments], input=data, capture_output=True, check=False, timeout=60)
    assert run.returncode == 0, f"docker {' '.join(arguments)}: {run.stderr.decode()}"
    return run.stdout.decode().strip()


def archive(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """A tar archive of programs."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.mode, member.size = 0o755, len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return buffer.getvalue()


BUSYBOX_LINKS = {f"bin/{name}": "busybox" for name in APPLETS}


def busybox_files() -> bytes:
    """The files of an image with a shell."""
    return archive({"bin/busybox": BUSYBOX.read_bytes()}, BUSYBOX_LINKS)


class TestImages:
    """Images of one test run; all of them are removed at its end."""

    __test__ = False

    def __init__(self) -> None:
        self._run = uuid.uuid4().hex[:8]
        self._names: list[str] = []

    def make(self, name: str, files: bytes, changes: Sequence[str] = ()) -> str:
        """Imports an image; returns its reference."""
        reference = f"dcompute-test/{name}:{self._run}"
        flags = [flag for change in changes for flag in ("--change", change)]
        docker("import", *flags, "-", reference, data=files)
        self._names.append(reference)
        return reference

    def remove_later(self, reference: str) -> None:
        """Notes an image that a test pulled."""
        self._names.append(reference)

    def remove_all(self) -> None:
        """Removes what is left."""
        for name in self._names:
            subprocess.run(["docker", "rmi", "--force", name], capture_output=True, check=False, timeout=60)


def layer(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """A layer as registries keep it."""
    return gzip.compress(archive(files, links), mtime=0)


def noise(seed: int, size: int) -> bytes:
    """Bytes that no compression shrinks."""
    return random.Random(seed).randbytes(size)


def engine_host() -> str:
    """The engine of the tests."""
    host = os.environ.get("DOCKER_HOST")
    assert host, "DOCKER_HOST must name the engine that these tests may use"
    return host
