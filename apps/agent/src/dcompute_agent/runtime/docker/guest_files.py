"""The files that make a container an instance: the guest, its configuration and its keys, as tar archives. Pure.

They reach the container by the engine's archive API before its first start: nothing of the host is ever mounted.
"""

import io
import json
import tarfile
from collections.abc import Iterator, Sequence

from ...protocol.models import InstanceSpec
from ...reconcile.keys import authorized_keys_text
from ...tunnel.base import SSH_PORT
from ..base import Image

DIRECTORY = ".dcompute"
#: The last file that is written: a container without it was never finished. It holds the spec's sum.
MARKER_PATH = f"/{DIRECTORY}/complete"
CONFIG_VERSION = 1
#: How long the guest waits for the rest of its processes once its main child has ended by itself.
STOP_GRACE_S = 10
PRIVATE = 0o600
PROGRAM = 0o755


def instance_archive(spec: InstanceSpec, image: Image, guest: bytes, ssh_keys: Sequence[str]) -> bytes:
    """All files of a new container, the marker last."""
    return _archive(
        (
            ("guest", PROGRAM, guest),
            ("config.json", PRIVATE, guest_config(spec, image)),
            ("ssh_host_key", PRIVATE, spec.ssh_host_key.encode()),
            ("authorized_keys", PRIVATE, authorized_keys_text(ssh_keys).encode()),
            ("complete", PRIVATE, spec.spec_sha.encode()),
        )
    )


def keys_archive(ssh_keys: Sequence[str]) -> bytes:
    """The authorized keys alone; the guest reads them anew at each login."""
    return _archive((("authorized_keys", PRIVATE, authorized_keys_text(ssh_keys).encode()),))


def guest_config(spec: InstanceSpec, image: Image) -> bytes:
    """What the guest reads at its start."""
    config = {
        "version": CONFIG_VERSION,
        "rental_id": spec.rental_id,
        "run_type": spec.run_type.value,
        "image": {
            "entrypoint": list(image.entrypoint),
            "cmd": list(image.command),
            "env": list(image.environment),
            "workdir": image.workdir,
            "user": image.user,
        },
        "command": list(spec.command),
        "env": dict(spec.env_vars),
        "ssh_port": SSH_PORT,
        "stop_grace_seconds": STOP_GRACE_S,
    }
    return json.dumps(config, separators=(",", ":")).encode()


def _archive(files: Sequence[tuple[str, int, bytes]]) -> bytes:
    buffer = io.BytesIO()
    # PAX, the default, writes extra headers only where a value needs them: ours never do.
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, content in _members(files):
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _members(files: Sequence[tuple[str, int, bytes]]) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    directory = tarfile.TarInfo(DIRECTORY)
    directory.type, directory.mode = tarfile.DIRTYPE, PROGRAM
    yield directory, b""
    for name, mode, content in files:
        member = tarfile.TarInfo(f"{DIRECTORY}/{name}")
        member.mode, member.size = mode, len(content)
        yield member, content
