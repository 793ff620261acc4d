from pathlib import Path

import pytest

from mailbearer.errors import VaultError
from mailbearer.vault import rotation
from mailbearer.vault.keys import KeySource, MasterKey, load_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    load_key(KeySource.FILE, tmp_path / "vault.key", create=True)
    return tmp_path / "vault.key"


def held(path: Path) -> bytes:
    return load_key(KeySource.FILE, path).id


def test_a_rotation_that_runs_through_changes_the_key(path: Path) -> None:
    old, new = held(path), rotation.begin(path)
    assert held(path) == old
    rotation.finish(path)
    assert held(path) == new.id
    assert [file.name for file in path.parent.iterdir()] == ["vault.key"]


def test_cut_short_after_sealing_the_new_key_takes_its_place(path: Path) -> None:
    new = rotation.begin(path)
    found = rotation.recovered(path, lambda key: key.id == new.id)
    assert found is not None
    assert found.id == new.id == held(path)


def test_cut_short_before_sealing_the_old_key_stays(path: Path) -> None:
    old = held(path)
    rotation.begin(path)
    assert rotation.recovered(path, lambda key: key.id == old) is None
    assert held(path) == old
    again = rotation.begin(path)
    rotation.finish(path)
    assert held(path) == again.id


def test_without_a_rotation_there_is_nothing_to_recover(path: Path) -> None:
    assert rotation.recovered(path, lambda _: True) is None


def test_a_new_key_that_was_cut_short_is_none(path: Path) -> None:
    path.with_name("vault.key.new").write_bytes(b"")
    path.with_name("vault.key.new").chmod(0o600)
    assert rotation.recovered(path, lambda _: True) is None


def test_a_folder_without_room_for_a_new_key_keeps_the_old_one(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="MB-T25"):
        rotation.begin(tmp_path / "none" / "vault.key")


def test_the_new_key_is_another_one(path: Path) -> None:
    assert isinstance(rotation.begin(path), MasterKey)
    assert rotation.begin(path).id != rotation.begin(path).id
