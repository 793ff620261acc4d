"""The queue: one row for each message that was accepted. Contents are the business of ``bodies``."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import NamedTuple

import apsw

from mailbearer.errors import NotFoundError
from mailbearer.model.device import DeviceId
from mailbearer.model.envelope import DsnWishes, Envelope, RecipientWish
from mailbearer.model.message import MessageId, MessageState, QueuedMessage, RecipientOutcome, RecipientState
from mailbearer.model.service import ServiceId
from mailbearer.store.bodies import NewBody, Place, drop
from mailbearer.store.database import Database
from mailbearer.store.rows import (
    Row,
    Value,
    as_list,
    as_text,
    as_texts,
    change,
    dumps,
    insert_all,
    loads,
    maybe_micros,
    printable,
    select,
    select_one,
    to_micros,
    word_of,
)
from mailbearer.store.segments import Segments
from mailbearer.store.worker import After

COLUMNS = """id, service, reverse_path, size, message_id, subject, state, created_at, next_try, attempts, recipients,
    code, reply, device, dsn"""
_ACCEPTANCES = f"acceptances ({COLUMNS}, lease_owner, lease_until, head, octets, is_ascii, checksum)"
_IN_SPOOL = (None, 0, 1, 0)
_LIVING = "state IN ('Waiting', 'Retrying', 'Held', 'Sending')"  # word for word as in the index
# Held without a time waits for a person or a token; Sending is due again when its lease ran out: the sender is dead
_DUE_AT = """CASE state WHEN 'Sending' THEN lease_until WHEN 'Held' THEN next_try
    ELSE coalesce(next_try, created_at) END"""


@dataclass(frozen=True, slots=True)
class Lease:
    """Whose a message is that is Sending, and until when if nothing more is heard."""

    owner: str
    until: datetime


_OURS = "(state = 'Sending' AND lease_owner = ? AND id NOT IN (SELECT value FROM json_each(?)))"


class Messages:
    """The table ``messages``, in the order of acceptance."""

    def __init__(self, database: Database, segments: Segments) -> None:
        self._database = database
        self._segments = segments

    def add(
        self, message: QueuedMessage, body: NewBody | None = None, *, prefix: bytes = b"", lease: Lease | None = None
    ) -> "asyncio.Future[QueuedMessage]":
        """Store a message and its content, ``prefix`` before it; when the future ends with it, it is accepted.

        None: the content is in the spool. With a ``lease`` it is claimed at once, as by ``claim_due``.

        Raises:
            DiskFullError: there is no room; nothing of it is kept.
        """
        values = (*_values_of(message), *_lease_values(lease))
        if body is not None:
            body.close()
        if body is None or not body.large:
            return self._database.write_together(
                _add_all, _Addition(message.id, values, body, prefix), message, whole=True
            )
        return self._database.write_together(
            _add_all,
            _Addition(message.id, values, body, prefix),
            message,
            before=body.bring_down,
            after=body.settle,
        )

    async def get(self, message: MessageId) -> QueuedMessage:
        """Return one message.

        Raises:
            NotFoundError: MB-W20, there is none of that name.
        """

        def work(connection: apsw.Connection) -> QueuedMessage:
            found = _get(connection, message)
            if found is None:
                known = "those that mailbearer queue list --all shows"
                raise NotFoundError("MB-W20", kind="message", name=message, known=known)
            return found

        return await self._database.read(work)

    async def list(
        self,
        *,
        states: Collection[MessageState] = (),
        service: ServiceId | None = None,
        limit: int = 100,
        newest_first: bool = False,
    ) -> tuple[QueuedMessage, ...]:
        """Return messages in order of acceptance: those in ``states`` (empty: any), of ``service`` (None: any)."""
        marks = ", ".join("?" * len(states))
        sql = f"""SELECT {COLUMNS} FROM messages
            WHERE {f"state IN ({marks})" if states else "1 = 1"} AND {"1 = 1" if service is None else "service = ?"}
            ORDER BY position {"DESC" if newest_first else "ASC"} LIMIT ?"""  # noqa: S608 - no value is in the text
        bindings = (*states, *(() if service is None else (service,)), limit)
        return await self._database.read(lambda connection: tuple(map(message_of, select(connection, sql, bindings))))

    async def of_device(self, device: DeviceId, *, limit: int = 100) -> tuple[QueuedMessage, ...]:
        """Return what came from a device, newest first."""
        sql = f"""SELECT {COLUMNS} FROM messages WHERE device = ? AND device <> ''
            ORDER BY position DESC LIMIT ?"""  # noqa: S608 - a constant of ours
        bindings = (device, limit)
        return await self._database.read(lambda connection: tuple(map(message_of, select(connection, sql, bindings))))

    async def count_of_device(self, device: DeviceId, *, since: datetime) -> int:
        """Return how many messages came from a device since then: for its limit by the hour."""
        sql = "SELECT count(*) FROM messages WHERE device = ? AND device <> '' AND created_at >= ?"

        def work(connection: apsw.Connection) -> int:
            row = select_one(connection, sql, (device, to_micros(since)))
            return 0 if row is None else row.number()

        return await self._database.read(work)

    async def latest_of_device(self, device: DeviceId, *, limit: int, since: datetime) -> tuple[datetime, ...]:
        """Return when the last messages of a device were accepted, newest first: at most ``limit`` since then."""
        sql = """SELECT created_at FROM (SELECT created_at, position FROM messages WHERE device = ? AND device <> ''
              ORDER BY position DESC LIMIT ?)
            WHERE created_at >= ? ORDER BY position DESC"""
        bindings = (device, limit, to_micros(since))
        return await self._database.read(
            lambda connection: tuple(row.time() for row in select(connection, sql, bindings))
        )

    async def counts(self) -> dict[MessageState, int]:
        """Return how many messages are in each state; a state without any is left out."""
        sql = "SELECT state, count(*) FROM messages GROUP BY state"

        def work(connection: apsw.Connection) -> dict[MessageState, int]:
            return {word_of(MessageState, row.text()): row.number() for row in select(connection, sql)}

        return await self._database.read(work)

    async def claim_due(
        self,
        *,
        now: datetime,
        owner: str,
        lease_until: datetime,
        limit: int,
        service: ServiceId | None = None,
        but_not: Collection[MessageId] | None = None,
    ) -> tuple[QueuedMessage, ...]:
        """Take up to ``limit`` messages that are due, oldest first; they are Sending until the lease ends.

        Unless ``but_not`` is None, what was stored with a lease of this owner comes too, in its place, but for these.
        """
        sql = f"""UPDATE messages SET state = 'Sending', lease_owner = ?, lease_until = ? WHERE id IN (
            SELECT id FROM messages WHERE {_LIVING} AND ({_DUE_AT} <= ? {"" if but_not is None else f"OR {_OURS}"})
            AND {"1 = 1" if service is None else "service = ?"} ORDER BY position LIMIT ?)
            RETURNING {COLUMNS}, position"""  # noqa: S608 - no value is in the text
        bindings = (
            owner,
            to_micros(lease_until),
            to_micros(now),
            *(() if but_not is None else (owner, dumps(list(but_not)))),
            *(() if service is None else (service,)),
            limit,
        )

        def work(connection: apsw.Connection) -> tuple[QueuedMessage, ...]:
            claimed = [(message_of(row), row.number()) for row in select(connection, sql, bindings)]
            return tuple(message for message, _ in sorted(claimed, key=itemgetter(1)))

        return await self._database.write(work)

    async def claim(
        self, message: MessageId, *, now: datetime, owner: str, lease_until: datetime
    ) -> QueuedMessage | None:
        """Take one living message, due or not; None when it is not there or another process is sending it."""
        sql = f"SELECT id FROM messages WHERE {_LIVING} AND id = ? AND NOT (state = 'Sending' AND lease_until > ?)"  # noqa: S608 - a constant of ours

        def work(connection: apsw.Connection) -> QueuedMessage | None:
            free = select_one(connection, sql, (message, to_micros(now)))
            return None if free is None else _claim(connection, message, owner, lease_until)

        return await self._database.write(work)

    async def extend_lease(self, message: MessageId, *, owner: str, lease_until: datetime) -> bool:
        """Keep a claimed message for longer; tell whether it is still the owner's."""
        sql = "UPDATE messages SET lease_until = ? WHERE id = ? AND lease_owner = ? AND state = 'Sending'"
        bindings = (to_micros(lease_until), message, owner)
        return await self._database.write(lambda connection: change(connection, sql, bindings) > 0)

    async def set_outcome(self, message: QueuedMessage, *, owner: str) -> bool:
        """Write down how an attempt ended: state, next try, attempts, recipients, code and reply of ``message``.

        Ends the lease. Returns False, and changes nothing, when the message is no longer the owner's. The content goes
        with an Accepted one.
        """
        sql = """UPDATE messages SET state = ?, next_try = ?, attempts = ?, recipients = ?, code = ?, reply = ?,
            lease_owner = '', lease_until = 0 WHERE id = ? AND lease_owner = ? AND state = 'Sending'"""
        when = (message.state, maybe_micros(message.next_try), message.attempts)
        said = (outcomes_text(message.recipients), message.code, printable(message.reply))
        bindings = (*when, *said, message.id, owner)
        return await self._change_and_drop(sql, bindings, message.id, done=message.state is MessageState.ACCEPTED)

    async def change_state(
        self,
        message: MessageId,
        *,
        among: Collection[MessageState],
        to: MessageState,
        next_try: datetime | None = None,
        code: str = "",
    ) -> bool:
        """Move a message that is in one of the states ``among`` (a person's retry, hold, cancel); tell whether it was.

        The reply stays as it is. Sending is never among them: what is on its way cannot be called back. The content
        goes with a Cancelled one.
        """
        marks = ", ".join("?" * len(among))
        sql = f"""UPDATE messages SET state = ?, next_try = ?, code = ?
            WHERE id = ? AND state IN ({marks}) AND state <> 'Sending'"""  # noqa: S608 - no value is in the text
        bindings = (to, maybe_micros(next_try), code, message, *among)
        return await self._change_and_drop(sql, bindings, message, done=to is MessageState.CANCELLED)

    async def release_held(self, service: ServiceId, *, now: datetime) -> int:
        """Make what a trouble held due at once, in order; return how many. What a person held has no code and stays."""
        sql = """UPDATE messages SET state = 'Waiting', next_try = ?, code = ''
            WHERE state = 'Held' AND service = ? AND code <> ''"""
        return await self._database.write(lambda connection: change(connection, sql, (to_micros(now), service)))

    async def make_due(self, *, now: datetime) -> int:
        """Make everything that waits due at once, but what a person holds; return how many messages that are."""
        sql = """UPDATE messages SET next_try = ? WHERE state IN ('Waiting', 'Retrying')
            OR (state = 'Held' AND code <> '')"""
        return await self._database.write(lambda connection: change(connection, sql, (to_micros(now),)))

    async def again(self, message: QueuedMessage) -> bool:
        """Put a message that failed back into the queue with the recipients of ``message``; tell whether it was."""
        sql = """UPDATE messages SET state = 'Waiting', next_try = NULL, attempts = 0, recipients = ?,
            code = '', told = '' WHERE id = ? AND state = 'Failed'"""
        bindings = (outcomes_text(message.recipients), message.id)
        return await self._database.write(lambda connection: change(connection, sql, bindings) > 0)

    async def services_due(self, now: datetime) -> tuple[ServiceId, ...]:
        """Return the services that have a message due, the one whose mail waits longest first."""
        sql = f"""SELECT service FROM messages WHERE {_LIVING} AND {_DUE_AT} <= ?
            GROUP BY service ORDER BY min(position)"""  # noqa: S608 - constants of ours

        def work(connection: apsw.Connection) -> tuple[ServiceId, ...]:
            return tuple(ServiceId(row.text()) for row in select(connection, sql, (to_micros(now),)))

        return await self._database.read(work)

    async def next_due_at(self) -> datetime | None:
        """Return when the next message is or was due, None when none ever will be by itself."""
        sql = f"SELECT min({_DUE_AT}) FROM messages WHERE {_LIVING}"  # noqa: S608 - constants of ours

        def work(connection: apsw.Connection) -> datetime | None:
            row = select_one(connection, sql)
            return None if row is None else row.maybe_time()

        return await self._database.read(work)

    async def oldest_living(self) -> datetime | None:
        """Return when the message was accepted that waits longest; None when none waits."""
        sql = f"SELECT min(created_at) FROM messages WHERE {_LIVING}"  # noqa: S608 - a constant of ours

        def work(connection: apsw.Connection) -> datetime | None:
            row = select_one(connection, sql)
            return None if row is None else row.maybe_time()

        return await self._database.read(work)

    async def ids(self) -> frozenset[MessageId]:
        """Return the ids of all messages, living or not: whose contents the spool must keep."""
        sql = "SELECT id FROM messages"
        return await self._database.read(
            lambda connection: frozenset(MessageId(row.text()) for row in select(connection, sql))
        )

    async def forget(self, before: datetime) -> tuple[MessageId, ...]:
        """Drop finished messages that were accepted before ``before``; return their ids: files of the spool go next."""
        sql = f"DELETE FROM messages WHERE NOT ({_LIVING}) AND created_at < ? RETURNING id"  # noqa: S608 - constants
        freed: list[Place] = []

        def work(connection: apsw.Connection) -> tuple[MessageId, ...]:
            gone = tuple(MessageId(row.text()) for row in select(connection, sql, (to_micros(before),)))
            freed[:] = drop(connection, *gone)
            return gone

        return await self._database.write(work, after=self._freeing(freed))

    async def _change_and_drop(
        self, sql: str, bindings: tuple[str | int | None, ...], message: MessageId, *, done: bool
    ) -> bool:
        """Change one row, and if that makes the message ``done`` with, drop its content in the same transaction."""
        freed: list[Place] = []

        def work(connection: apsw.Connection) -> bool:
            changed = change(connection, sql, bindings) > 0
            if changed and done:
                freed[:] = drop(connection, message)
            return changed

        return await self._database.write(work, after=self._freeing(freed) if done else None)

    def _freeing(self, freed: Sequence[Place]) -> After:
        def after(ok: bool) -> None:
            if ok:
                self._segments.free(freed)

        return after


class _Addition(NamedTuple):
    """A message to be stored: its row, its content, and what comes before that."""

    id: MessageId
    values: tuple[Value, ...]
    body: NewBody | None
    prefix: bytes


def _add_all(connection: apsw.Connection, additions: Sequence[_Addition]) -> None:
    """Carry out one statement, unless there are large contents."""
    rows = [(*each.values, *(_IN_SPOOL if each.body is None else each.body.row(each.prefix))) for each in additions]
    insert_all(connection, _ACCEPTANCES, rows)
    for each in additions:
        if each.body is not None and each.body.large:
            each.body.insert_pieces(connection, each.id)


def _lease_values(lease: Lease | None) -> tuple[Value, ...]:
    return ("", 0) if lease is None else (lease.owner, to_micros(lease.until))


def _get(connection: apsw.Connection, message: MessageId) -> QueuedMessage | None:
    sql = f"SELECT {COLUMNS} FROM messages WHERE id = ?"  # noqa: S608 - a constant of ours
    row = select_one(connection, sql, (message,))
    return None if row is None else message_of(row)


def _claim(connection: apsw.Connection, message: MessageId, owner: str, until: datetime) -> QueuedMessage:
    sql = f"""UPDATE messages SET state = 'Sending', lease_owner = ?, lease_until = ? WHERE id = ?
        RETURNING {COLUMNS}"""  # noqa: S608 - a constant of ours
    return message_of(select(connection, sql, (owner, to_micros(until), message))[0])


def outcomes_text(outcomes: tuple[RecipientOutcome, ...]) -> str:
    """Return what is kept of the recipients, as JSON."""
    return dumps([[outcome.address, outcome.state, outcome.reply] for outcome in outcomes])


def _outcome_of(item: object) -> RecipientOutcome:
    address, state, reply = as_texts(item, 3)
    return RecipientOutcome(address, word_of(RecipientState, state), reply)


def _values_of(message: QueuedMessage) -> tuple[Value, ...]:
    what = (message.size, message.message_id, printable(message.subject))
    when = (message.state, to_micros(message.created_at), maybe_micros(message.next_try), message.attempts)
    said = (outcomes_text(message.recipients), message.code, printable(message.reply))
    return (
        message.id,
        message.service,
        message.envelope.reverse_path,
        *what,
        *when,
        *said,
        message.device,
        _dsn_text(message.envelope.dsn),
    )


def _dsn_text(wishes: DsnWishes | None) -> str:
    if wishes is None:
        return ""
    return dumps([wishes.ret, wishes.envid, [[wish.orcpt, *wish.notify] for wish in wishes.recipients]])


def _dsn_of(text: str) -> DsnWishes | None:
    if not text:
        return None
    ret, envid, *wishes = as_list(loads(text))
    each = [tuple(map(as_text, as_list(wish))) for wish in as_list(wishes[0] if wishes else None)]
    return DsnWishes(
        as_text(ret), as_text(envid), tuple(RecipientWish(tuple(notify), orcpt) for orcpt, *notify in each)
    )


def message_of(row: Row) -> QueuedMessage:
    """Return the message of a row that has ``COLUMNS``; columns behind them may follow."""
    name, service, reverse_path = MessageId(row.text()), ServiceId(row.text()), row.text()
    size, message_id, subject = row.number(), row.text(), row.text()
    state, created_at, next_try = word_of(MessageState, row.text()), row.time(), row.maybe_time()
    attempts = row.number()
    recipients = tuple(_outcome_of(item) for item in as_list(loads(row.text())))
    code, reply, device, dsn = row.text(), row.text(), row.text(), _dsn_of(row.text())
    return QueuedMessage(
        id=name,
        service=service,
        envelope=Envelope(reverse_path, tuple(outcome.address for outcome in recipients), dsn),
        size=size,
        message_id=message_id,
        subject=subject,
        state=state,
        created_at=created_at,
        next_try=next_try,
        attempts=attempts,
        recipients=recipients,
        code=code,
        reply=reply,
        device=device,
    )
