"""The data folder: where everything lies, who may look in, and the locks that keep processes apart."""

import fcntl
import os
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from mailbearer.clock import Clock
from mailbearer.errors import ConflictError, StoreError
from mailbearer.store import failures

LOCK_PATIENCE = timedelta(seconds=10)  # as the database's own busy time-out
_LOCK_POLL = 0.02  # seconds; flock cannot be awaited

# WAL needs shared memory between processes, and locks that hold: https://sqlite.org/wal.html section 2.2
_NETWORK_FILE_SYSTEMS = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "glusterfs", "ncpfs"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.cephfs", "fuse.rclone"),
    }
)


class DataFolder:
    """The folder and the names in it; ``prepare`` makes it. ``mounts`` as in ``file_system_of``; None: the system's."""

    def __init__(self, path: Path, *, mounts: str | None = None) -> None:
        self.path = path.absolute()
        self._mounts = mounts
        self.database = self.path / "mailbearer.db"
        self.key = self.path / "vault.key"
        self.spool = self.path / "spool"
        self.segments = self.path / "segments"
        self.journal = self.path / "journal.d"
        self.socket = self.path / "control.sock"
        self._serve_lock = self.path / "serve.lock"
        self._use_lock = self.path / "store.lock"

    def prepare(self) -> None:
        """Make the folder, for its owner only, and see whether it can be used.

        Raises:
            StoreError: MB-D01 it cannot be used; MB-D06 it is read-only.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.stat().st_mode & 0o077:
                self.path.chmod(0o700)
        except (FileExistsError, NotADirectoryError) as error:
            raise StoreError("MB-D01", path=str(self.path), reason="it is not a folder") from error
        except OSError as error:
            raise failures.of_system(error, self.path) from error
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise StoreError("MB-D06", path=str(self.path))
        kind = file_system_of(self.path.resolve(), _mounts() if self._mounts is None else self._mounts)
        if kind in _NETWORK_FILE_SYSTEMS:
            raise StoreError("MB-D01", path=str(self.path), reason=f"it is on a network file system ({kind})")

    def serve_lock(self) -> "FileLock":
        """Return the lock of the one process that serves this folder, taken.

        Raises:
            ConflictError: MB-W25, another process serves it.
        """
        lock = FileLock(self._serve_lock)
        if not lock.take(shared=False):
            pid = lock.holder()
            lock.release()
            raise ConflictError("MB-W25", pid=pid)
        lock.sign(os.getpid())
        return lock

    def use_lock(self) -> "FileLock":
        """Return the lock of those who have the store open, not taken yet.

        Shared by all who use it; exclusive for migration and key rotation.
        """
        return FileLock(self._use_lock)


class FileLock:
    """A lock on a file (flock), let go by ``release`` or with the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise failures.of_system(error, path) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()

    def take(self, *, shared: bool) -> bool:
        """Try to take the lock, or to change the kind that is held; tell whether it worked. Never waits.

        When the change fails, the lock that was held is gone too (flock(2)).
        """
        try:
            fcntl.flock(self._descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise failures.of_system(error, self._path) from error
        return True

    async def wait(self, clock: Clock, *, shared: bool, patience: timedelta = LOCK_PATIENCE) -> None:
        """Take the lock as soon as it is free.

        Raises:
            StoreError: MB-D04, it was not within ``patience``.
        """
        end = clock.monotonic() + patience.total_seconds()
        while not self.take(shared=shared):
            if clock.monotonic() >= end:
                raise StoreError("MB-D04", path=str(self._path.parent))
            await clock.sleep(_LOCK_POLL)

    def sign(self, pid: int) -> None:
        """Write down who holds the lock; only for people, so a full disk is no reason to stop."""
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{pid}\n".encode(), 0)
        except OSError:
            return

    def holder(self) -> str:
        """Return the process id that the holder wrote down, or ``?``."""
        text = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
        return text if text.isdigit() else "?"

    def release(self) -> None:
        """Let go; a second time is no fault."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_system_of(path: Path, mounts: str) -> str:
    """Return the kind of file system that ``path`` is on, empty when unknown.

    ``mounts`` is the text of ``/proc/self/mountinfo`` (proc(5)).
    """
    best, kind = -1, ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        place = Path(fields[4].replace("\\040", " "))
        if path.is_relative_to(place) and len(place.parts) >= best:
            best, kind = len(place.parts), right.split(" ")[0]
    return kind


def _mounts() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux: not cheaply told
        return ""
