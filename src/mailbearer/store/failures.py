"""What SQLite and the operating system report, as our errors. Nothing here decides; it only names."""

import errno
import os
from pathlib import Path

import apsw

from mailbearer.errors import DiskFullError, StoreError

# RLIMIT_FSIZE and quotas are full disks too: there is no room for this user
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP})
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def of_system(error: OSError, path: Path) -> StoreError:
    """Return what ``error`` at ``path`` means for whoever reads it."""
    if error.errno in _NO_ROOM:
        return DiskFullError("MB-S25", path=str(path))
    if error.errno in _READ_ONLY:
        return StoreError("MB-D06", path=str(path))
    code = "MB-D01" if error.errno in _NOT_THERE else "MB-D05"
    return StoreError(code, reason=error.strerror or str(error), path=str(path))


def of_database(error: apsw.Error, path: Path, *, system_errno: int = 0) -> StoreError | None:
    """Return what ``error`` means, None when it is no trouble of the disk but a mistake in our own SQL.

    ``system_errno`` is the number that the operating system gave to SQLite at its last failure.
    """
    match error:
        case apsw.FullError():
            return DiskFullError("MB-S25", path=str(path))
        case apsw.NotADBError() | apsw.CorruptError():
            return StoreError("MB-D02", path=str(path), reason=str(error))
        case apsw.BusyError() | apsw.LockedError():
            return StoreError("MB-D04", path=str(path))
        case apsw.ReadOnlyError() | apsw.PermissionsError():
            return StoreError("MB-D06", path=str(path))
        case apsw.IOError() | apsw.CantOpenError():
            return of_system(OSError(system_errno, os.strerror(system_errno) if system_errno else str(error)), path)
        case _:
            return None
