"""The authorized keys of an instance."""

import hashlib
from collections.abc import Sequence


def authorized_keys_text(ssh_keys: Sequence[str]) -> str:
    """The file that the guest reads: one key per line."""
    return "".join(f"{key.strip()}\n" for key in ssh_keys)


def authorized_keys_sha(ssh_keys: Sequence[str]) -> str:
    """SHA-256 (hex) of the file: tells whether a container has these keys."""
    return hashlib.sha256(authorized_keys_text(ssh_keys).encode()).hexdigest()
