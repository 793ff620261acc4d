import os
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from mailbearer.clock import SystemClock
from mailbearer.errors import ConflictError, StoreError
from mailbearer.store.folder import DataFolder, FileLock, file_system_of
from tests.fakes.clock import FakeClock

MOUNTS = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 21 0:5 / /srv rw shared:2 - nfs4 server:/srv rw
23 21 0:6 / /srv/local\\040disk rw shared:3 master:1 - xfs /dev/vdb rw
garbage
24 21 0:7 / /half -
"""


def test_the_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "a" / "b")
    folder.prepare()
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_read_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    DataFolder(tmp_path).prepare()
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match="MB-D01"):
            DataFolder(path).prepare()


def test_a_folder_that_cannot_be_made_is_an_error_of_ours() -> None:
    with pytest.raises(StoreError, match="MB-D01"):
        DataFolder(Path("/proc/no/folder")).prepare()


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/home/data", "ext4"), ("/srv/data", "nfs4"), ("/srv/local disk/data", "xfs"), ("/srvx", "ext4")],
)
def test_the_file_system_is_that_of_the_innermost_mount(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind


@given(st.text(alphabet="/ -\n1aé", max_size=60))
def test_any_list_of_mounts_can_be_read(mounts: str) -> None:
    assert isinstance(file_system_of(Path("/data"), mounts), str)


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    assert file_system_of(tmp_path, "") == ""
    folder = DataFolder(tmp_path, mounts=f"1 0 0:5 / {tmp_path} rw - cifs //server/share rw")
    with pytest.raises(StoreError) as caught:
        folder.prepare()
    assert caught.value.fields["reason"] == "it is on a network file system (cifs)"


def test_a_second_server_is_told_who_serves(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    lock = folder.serve_lock()
    with pytest.raises(ConflictError) as caught:
        folder.serve_lock()
    assert (caught.value.code, caught.value.fields) == ("MB-W25", {"pid": str(os.getpid())})
    lock.release()
    lock.release()
    with folder.serve_lock():
        pass
    folder.serve_lock().release()


def test_who_holds_a_lock_without_a_name_is_unknown(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock") as lock:
        assert lock.holder() == "?"


def test_a_lock_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        FileLock(tmp_path / "none" / "lock")


async def test_those_who_share_keep_out_who_wants_it_alone(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with folder.use_lock() as one, folder.use_lock() as two, folder.use_lock() as alone:
        assert one.take(shared=True)
        assert two.take(shared=True)
        assert not alone.take(shared=False)
        one.release()
        two.release()
        await alone.wait(SystemClock(), shared=False)


async def test_waiting_for_a_lock_has_an_end(tmp_path: Path) -> None:
    clock, folder = FakeClock(), DataFolder(tmp_path)
    with folder.use_lock() as held, folder.use_lock() as wanted:
        assert held.take(shared=False)
        with pytest.raises(StoreError, match="MB-D04"):
            await wanted.wait(clock, shared=True, patience=timedelta(0))
