"""The node's key."""

from pathlib import Path

import pytest

from dcompute_agent.identity import KEY_FILE, load_identity


def test_the_key_is_made_once_and_kept(tmp_path: Path) -> None:
    assert load_identity(tmp_path).public_key == load_identity(tmp_path).public_key


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    load_identity(tmp_path)

    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    load_identity(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)

    with pytest.raises(PermissionError, match="readable by others"):
        load_identity(tmp_path)
