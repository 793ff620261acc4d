"""What accounts have sent, the connections they have open and how far they were slowed down: seen by all processes."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import apsw

from mailbearer.store.database import Database
from mailbearer.store.rows import change, execute, select_one, to_micros

MINUTE = timedelta(minutes=1)
DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Taken:
    """A message may go out to so many ``recipients``; to none before ``until``. ``whole_day``: a daily limit said so.

    ``number`` is for ``correct``.
    """

    recipients: int
    until: datetime | None = None
    whole_day: bool = False
    number: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """How far an account was slowed down: ``steps`` halvings since ``slowed_at``, nothing before ``pause_until``."""

    steps: int
    slowed_at: datetime
    pause_until: datetime


class Allowances:
    """The tables ``sent``, ``lines`` and ``paces``. An account is named by provider and user."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, account: str, *, wanted: int, per_minute: int, per_day: int, now: datetime) -> Taken:
        """Count one message to up to ``wanted`` recipients and return how many it may go to; limits of 0 are none."""

        def work(connection: apsw.Connection) -> Taken:
            _keep_a_day(connection, account, now)
            if per_minute and (until := _minute_full(connection, account, per_minute, now)) is not None:
                return Taken(0, until)
            room = wanted
            if per_day:
                sent, oldest = _sent_today(connection, account)
                room = min(wanted, per_day - sent)
                if room <= 0:
                    return Taken(0, (oldest or now) + DAY, whole_day=True)
            sql = "INSERT INTO sent (account, at, recipients) VALUES (?, ?, ?)"
            change(connection, sql, (account, to_micros(now), room))
            return Taken(room, number=connection.last_insert_rowid())

        return await self._database.write(work)

    async def correct(self, number: int, *, recipients: int) -> None:
        """Note that a message which was counted went to fewer recipients."""
        sql = "UPDATE sent SET recipients = ? WHERE id = ?"
        await self._database.write(lambda connection: change(connection, sql, (recipients, number)))

    async def open_line(self, line: str, account: str, *, most: int, now: datetime, until: datetime) -> bool:
        """Note a connection, unless ``most`` are open; tell whether it may be opened. It runs out at ``until``."""

        def work(connection: apsw.Connection) -> bool:
            change(connection, "DELETE FROM lines WHERE until <= ?", (to_micros(now),))
            row = select_one(connection, "SELECT count(*) FROM lines WHERE account = ?", (account,))
            if row is not None and row.number() >= most:
                return False
            sql = "INSERT INTO lines (id, account, until) VALUES (?, ?, ?)"
            return change(connection, sql, (line, account, to_micros(until))) > 0

        return await self._database.write(work)

    async def keep_lines(self, lines: tuple[str, ...], *, until: datetime) -> None:
        """Note that connections are still open."""

        def work(connection: apsw.Connection) -> None:
            for line in lines:
                change(connection, "UPDATE lines SET until = ? WHERE id = ?", (to_micros(until), line))

        await self._database.write(work)

    async def close_line(self, line: str) -> None:
        """Note that a connection is closed."""
        await self._database.write(lambda connection: change(connection, "DELETE FROM lines WHERE id = ?", (line,)))

    async def pace(self, account: str) -> Pace | None:
        """Return how far an account was slowed down, None when it never was."""
        sql = "SELECT steps, slowed_at, pause_until FROM paces WHERE account = ?"

        def work(connection: apsw.Connection) -> Pace | None:
            row = select_one(connection, sql, (account,))
            return None if row is None else Pace(row.number(), row.time(), row.time())

        return await self._database.read(work)

    async def slow_down(self, account: str, pace: Pace) -> None:
        """Note that an account was slowed down."""
        sql = """INSERT INTO paces (account, steps, slowed_at, pause_until) VALUES (?, ?, ?, ?)
            ON CONFLICT (account) DO UPDATE SET steps = excluded.steps, slowed_at = excluded.slowed_at,
              pause_until = excluded.pause_until"""
        bindings = (account, pace.steps, to_micros(pace.slowed_at), to_micros(pace.pause_until))
        await self._database.write(lambda connection: change(connection, sql, bindings))

    async def forget(self, now: datetime) -> None:
        """Drop what counts no more."""
        day = to_micros(now - DAY)

        def work(connection: apsw.Connection) -> None:
            change(connection, "DELETE FROM sent WHERE at <= ?", (day,))
            change(connection, "DELETE FROM paces WHERE slowed_at <= ? AND pause_until <= ?", (day, day))

        await self._database.write(work)


def _keep_a_day(connection: apsw.Connection, account: str, now: datetime) -> None:
    """Forget what is older than a day; after the clock was set back, what was sent later counts as sent now."""
    moment = to_micros(now)
    change(connection, "DELETE FROM sent WHERE account = ? AND at <= ?", (account, to_micros(now - DAY)))
    change(connection, "UPDATE sent SET at = ? WHERE account = ? AND at > ?", (moment, account, moment))


def _minute_full(connection: apsw.Connection, account: str, per_minute: int, now: datetime) -> datetime | None:
    """Return when the next message may go out, None when it may now."""
    sql = "SELECT at FROM sent WHERE account = ? AND at > ? ORDER BY at DESC LIMIT 1 OFFSET ?"
    row = select_one(connection, sql, (account, to_micros(now - MINUTE), per_minute - 1))
    return None if row is None else row.time() + MINUTE


def _sent_today(connection: apsw.Connection, account: str) -> tuple[int, datetime | None]:
    sql = "SELECT coalesce(sum(recipients), 0) FROM sent WHERE account = ?"
    found = execute(connection, sql, (account,))
    total = found[0][0]
    row = select_one(connection, "SELECT at FROM sent WHERE account = ? AND recipients > 0 ORDER BY at", (account,))
    return (total if isinstance(total, int) else 0), (None if row is None else row.time())
