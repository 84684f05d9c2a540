"""The node's Ed25519 identity: made once, kept in the state directory, never sent."""

import base64
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

KEY_FILE = "node-key"


class Identity:
    """Signs with the node's private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        #: Raw 32-byte public key, base64.
        self.public_key = base64.b64encode(raw).decode("ascii")

    def sign(self, text: str) -> str:
        """Ed25519 over the UTF-8 bytes of `text`, base64."""
        return base64.b64encode(self._key.sign(text.encode())).decode("ascii")

    @classmethod
    def from_seed(cls, seed: bytes) -> "Identity":
        """The identity whose private key is these 32 bytes."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))


def load_identity(state_dir: Path) -> Identity:
    """Reads the node's key, or makes it (mode 0600, durable before first use).

    Raises PermissionError when others could read the key: such a node could be impersonated.
    """
    path = state_dir / KEY_FILE
    if not path.exists():
        _write_new_key(path)
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"{path} is readable by others; its mode must be 0600")
    return Identity.from_seed(path.read_bytes())


def _write_new_key(path: Path) -> None:
    seed = Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, seed)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
