import errno
from pathlib import Path

import apsw
import pytest

from mailbearer.errors import DiskFullError
from mailbearer.store import failures

PATH = Path("/data/mailbearer.db")


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "MB-S25"),
        (errno.EDQUOT, "MB-S25"),
        (errno.EFBIG, "MB-S25"),
        (errno.EROFS, "MB-D06"),
        (errno.EACCES, "MB-D06"),
        (errno.ENOENT, "MB-D01"),
        (errno.EISDIR, "MB-D01"),
        (errno.EIO, "MB-D05"),
        (errno.EMFILE, "MB-D05"),
    ],
)
def test_the_systems_error_numbers_have_a_meaning(number: int, code: str) -> None:
    error = OSError(number, "words")
    assert failures.of_system(error, PATH).code == code
    met = failures.of_database(apsw.IOError("disk I/O error"), PATH, system_errno=number)
    assert met is not None
    assert met.code == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (apsw.FullError("full"), "MB-S25"),
        (apsw.NotADBError("none"), "MB-D02"),
        (apsw.CorruptError("bad"), "MB-D02"),
        (apsw.BusyError("busy"), "MB-D04"),
        (apsw.LockedError("locked"), "MB-D04"),
        (apsw.ReadOnlyError("ro"), "MB-D06"),
        (apsw.CantOpenError("cannot"), "MB-D05"),
    ],
)
def test_sqlites_errors_have_a_meaning(error: apsw.Error, code: str) -> None:
    met = failures.of_database(error, PATH)
    assert met is not None
    assert met.code == code
    assert isinstance(met, DiskFullError) == (code == "MB-S25")


def test_a_mistake_of_ours_has_none() -> None:
    assert failures.of_database(apsw.SQLError("near SELEKT"), PATH) is None
