"""The store: the data folder, its database and everything in it, opened and closed as one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw

from mailbearer.clock import Clock
from mailbearer.errors import StoreError
from mailbearer.store import meta
from mailbearer.store.allowances import Allowances
from mailbearer.store.audit import Audit
from mailbearer.store.bodies import Bodies
from mailbearer.store.custom_providers import CustomProviders
from mailbearer.store.database import Database
from mailbearer.store.devices import Devices
from mailbearer.store.folder import DataFolder, FileLock
from mailbearer.store.grants import Grants
from mailbearer.store.journal import RotationJournal
from mailbearer.store.messages import Messages
from mailbearer.store.meta import Meta
from mailbearer.store.outcomes import Outcomes
from mailbearer.store.pendings import Pendings
from mailbearer.store.received import Received
from mailbearer.store.registrations import Registrations
from mailbearer.store.room import RoomWatch
from mailbearer.store.rows import change, select
from mailbearer.store.seen import Seen
from mailbearer.store.segments import SEGMENT_BYTES, Segments
from mailbearer.store.services import Services
from mailbearer.store.spool import Spool

VAULT_CHECK = "vault-check"  # the name in ``meta`` of the vault's check value
_SEALED_COLUMNS = (
    ("services", "id", "password"),
    ("registrations", "provider", "secret"),
    ("grants", "service", "sealed"),
    ("pendings", "service", "sealed"),
)


class Store:
    """An open store; made by ``Store.open``. Several processes may have one folder open at once.

    ``opened_alone`` tells whether no other process had it open when this one came.
    """

    def __init__(
        self, folder: DataFolder, opened: "_Opened", clock: Clock, *, reserve: int | None, segment_bytes: int
    ) -> None:
        database = opened.database
        self.folder = folder
        self.opened_alone = opened.alone
        self.database = database
        self.services = Services(database)
        self.registrations = Registrations(database)
        self.custom_providers = CustomProviders(database)
        self.grants = Grants(database)
        self.pendings = Pendings(database)
        room = RoomWatch(folder.path, clock, reserve=reserve, owed=lambda: database.owed_bytes)
        self._segments = Segments(folder.segments, room.left, size=segment_bytes)
        self.spool = Spool(folder.spool)
        self.bodies = Bodies(database, self._segments, room, self.spool)
        self.messages = Messages(database, self._segments)
        self.outcomes = Outcomes(database, self._segments)
        self.allowances = Allowances(database)
        self.devices = Devices(database)
        self.seen = Seen(database)
        self.received = Received(database)
        self.audit = Audit(database, clock)
        self.meta = Meta(database)
        self.journal = RotationJournal(folder.journal)
        self._lock = opened.lock

    @classmethod
    async def open(
        cls, folder: Path, clock: Clock, *, reserve: int | None = None, segment_bytes: int = SEGMENT_BYTES
    ) -> "Store":
        """Open the store in ``folder``, made if there is none.

        ``reserve`` is the room in bytes that messages leave free; None: as ``RESERVE_BYTES`` says. ``segment_bytes``
        is how large the files for large messages are made.

        Raises:
            StoreError: MB-D01 … MB-D06; nothing was overwritten.
            DiskFullError: there is no room for it.
        """
        data = DataFolder(folder)
        data.prepare()
        lock = data.use_lock()
        try:
            opened = await _open_database(data.database, lock, clock)
        except BaseException:
            lock.release()
            raise
        return cls(data, opened, clock, reserve=reserve, segment_bytes=segment_bytes)

    async def close(self) -> None:
        """Finish what is under way and close; closing twice is no fault."""
        await self.journal.close()
        await self.database.close()
        self._segments.close()
        self._lock.release()

    def take_alone(self) -> bool:
        """Try to become the only process that has the store open, until it is closed; tell whether it worked.

        Raises:
            StoreError: MB-D04, another process made itself alone just now.
        """
        if self._lock.take(shared=False):
            return True
        if not self._lock.take(shared=True):  # the share was let go when the change failed
            raise StoreError("MB-D04", path=str(self.folder.path))
        return False

    async def is_sealed(self) -> bool:
        """Tell whether anything was ever sealed here: if so, a missing key must never be replaced by a new one."""
        return await self.meta.get(VAULT_CHECK) is not None

    async def rewrap(self, rewrap: Callable[[bytes], bytes], *, check: bytes) -> int:
        """Pass every sealed value through ``rewrap`` and set the vault's check value, all or nothing; return how many.

        For the rotation of keys; the journal is recovered before.
        """

        def work(connection: apsw.Connection) -> int:
            done = sum(_rewrap_column(connection, place, rewrap) for place in _SEALED_COLUMNS)
            done += meta.rewrap(connection, rewrap)
            meta.put(connection, VAULT_CHECK, check)
            return done

        return await self.database.write(work)


@dataclass(frozen=True, slots=True)
class _Opened:
    database: Database
    lock: FileLock
    alone: bool


async def _open_database(path: Path, lock: FileLock, clock: Clock) -> _Opened:
    """Open the database under ``lock``, which is shared afterwards."""
    if not lock.take(shared=False):
        await lock.wait(clock, shared=True)
        return _Opened(await Database.open(path, alone=False), lock, alone=False)
    database = await Database.open(path, alone=True)  # nobody else has it open: the moment to migrate and examine
    try:
        await database.write(_end_leases)
        await lock.wait(clock, shared=True)
        await database.check_version()  # flock let go for an instant when it changed the kind of lock
    except BaseException:
        await database.close()
        raise
    return _Opened(database, lock, alone=True)


def _end_leases(connection: apsw.Connection) -> None:
    """Make free what dead processes had leased, so that nothing waits for their time to run out."""
    for table in ("grants", "pendings", "messages"):
        change(connection, f"UPDATE {table} SET lease_until = 0 WHERE lease_until > 0")  # noqa: S608 - names of ours
    change(connection, "DELETE FROM lines")


def _rewrap_column(connection: apsw.Connection, place: tuple[str, str, str], rewrap: Callable[[bytes], bytes]) -> int:
    table, key, column = place
    found = select(connection, f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL")  # noqa: S608 - ours
    for row in found:
        name, sealed = row.text(), row.blob()
        change(connection, f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (rewrap(sealed), name))  # noqa: S608 - names of ours
    return len(found)
