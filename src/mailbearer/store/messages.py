"""The queue: one row for each message that was accepted. Contents are files of the spool."""

from collections.abc import Collection
from datetime import datetime

import apsw

from mailbearer.errors import NotFoundError
from mailbearer.model.envelope import Envelope
from mailbearer.model.message import MessageId, MessageState, QueuedMessage, RecipientOutcome, RecipientState
from mailbearer.model.service import ServiceId
from mailbearer.store.database import Database
from mailbearer.store.rows import (
    Row,
    as_list,
    as_texts,
    change,
    dumps,
    loads,
    maybe_micros,
    printable,
    select,
    select_one,
    to_micros,
    word_of,
)

_COLUMNS = """id, service, reverse_path, size, message_id, subject, state, created_at, next_try, attempts, recipients,
    code, reply"""
_LIVING = "state IN ('Waiting', 'Retrying', 'Held', 'Sending')"  # word for word as in the index
# Held without a time waits for a person or a token; Sending is due again when its lease ran out: the sender is dead
_DUE_AT = """CASE state WHEN 'Sending' THEN lease_until WHEN 'Held' THEN next_try
    ELSE coalesce(next_try, created_at) END"""


class Messages:
    """The table ``messages``, in the order of acceptance."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, message: QueuedMessage) -> None:
        """Store a message whose content is in the spool; when this returns it is accepted."""
        sql = f"""INSERT INTO messages ({_COLUMNS}, position) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
            (SELECT coalesce(max(position), 0) + 1 FROM messages))"""  # noqa: S608 - constants of ours
        await self._database.write(lambda connection: change(connection, sql, _values_of(message)))

    async def get(self, message: MessageId) -> QueuedMessage:
        """Return one message.

        Raises:
            NotFoundError: MB-W20, there is none of that name.
        """

        def work(connection: apsw.Connection) -> QueuedMessage:
            found = _get(connection, message)
            if found is None:
                raise NotFoundError("MB-W20", kind="message", name=message)
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
        sql = f"""SELECT {_COLUMNS} FROM messages
            WHERE {f"state IN ({marks})" if states else "1 = 1"} AND {"1 = 1" if service is None else "service = ?"}
            ORDER BY position {"DESC" if newest_first else "ASC"} LIMIT ?"""  # noqa: S608 - no value is in the text
        bindings = (*states, *(() if service is None else (service,)), limit)
        return await self._database.read(lambda connection: tuple(map(_message_of, select(connection, sql, bindings))))

    async def counts(self) -> dict[MessageState, int]:
        """Return how many messages are in each state; a state without any is left out."""
        sql = "SELECT state, count(*) FROM messages GROUP BY state"

        def work(connection: apsw.Connection) -> dict[MessageState, int]:
            return {word_of(MessageState, row.text()): row.number() for row in select(connection, sql)}

        return await self._database.read(work)

    async def claim_due(
        self, *, now: datetime, owner: str, lease_until: datetime, limit: int, service: ServiceId | None = None
    ) -> tuple[QueuedMessage, ...]:
        """Take up to ``limit`` messages that are due, oldest first; they are Sending until the lease ends."""
        sql = f"""SELECT id FROM messages WHERE {_LIVING} AND {_DUE_AT} <= ?
            AND {"1 = 1" if service is None else "service = ?"} ORDER BY position LIMIT ?"""  # noqa: S608 - no value
        bindings = (to_micros(now), *(() if service is None else (service,)), limit)

        def work(connection: apsw.Connection) -> tuple[QueuedMessage, ...]:
            due = [MessageId(row.text()) for row in select(connection, sql, bindings)]
            return tuple(_claim(connection, message, owner, lease_until) for message in due)

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

        Ends the lease. Returns False, and changes nothing, when the message is no longer the owner's.
        """
        sql = """UPDATE messages SET state = ?, next_try = ?, attempts = ?, recipients = ?, code = ?, reply = ?,
            lease_owner = '', lease_until = 0 WHERE id = ? AND lease_owner = ? AND state = 'Sending'"""
        when = (message.state, maybe_micros(message.next_try), message.attempts)
        said = (_outcomes_text(message.recipients), message.code, printable(message.reply))
        bindings = (*when, *said, message.id, owner)
        return await self._database.write(lambda connection: change(connection, sql, bindings) > 0)

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

        The reply stays as it is. Sending is never among them: what is on its way cannot be called back.
        """
        marks = ", ".join("?" * len(among))
        sql = f"""UPDATE messages SET state = ?, next_try = ?, code = ?
            WHERE id = ? AND state IN ({marks}) AND state <> 'Sending'"""  # noqa: S608 - no value is in the text
        bindings = (to, maybe_micros(next_try), code, message, *among)
        return await self._database.write(lambda connection: change(connection, sql, bindings) > 0)

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
        sql = """UPDATE messages SET state = 'Waiting', next_try = NULL, attempts = 0, recipients = ?, code = ''
            WHERE id = ? AND state = 'Failed'"""
        bindings = (_outcomes_text(message.recipients), message.id)
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

    async def ids(self) -> frozenset[MessageId]:
        """Return the ids of all messages, living or not: whose contents the spool must keep."""
        sql = "SELECT id FROM messages"
        return await self._database.read(
            lambda connection: frozenset(MessageId(row.text()) for row in select(connection, sql))
        )

    async def forget(self, before: datetime) -> tuple[MessageId, ...]:
        """Drop finished messages that were accepted before ``before``; return their ids: contents go next."""
        sql = f"DELETE FROM messages WHERE NOT ({_LIVING}) AND created_at < ? RETURNING id"  # noqa: S608 - constants

        def work(connection: apsw.Connection) -> tuple[MessageId, ...]:
            return tuple(MessageId(row.text()) for row in select(connection, sql, (to_micros(before),)))

        return await self._database.write(work)


def _get(connection: apsw.Connection, message: MessageId) -> QueuedMessage | None:
    sql = f"SELECT {_COLUMNS} FROM messages WHERE id = ?"  # noqa: S608 - a constant of ours
    row = select_one(connection, sql, (message,))
    return None if row is None else _message_of(row)


def _claim(connection: apsw.Connection, message: MessageId, owner: str, until: datetime) -> QueuedMessage:
    sql = f"""UPDATE messages SET state = 'Sending', lease_owner = ?, lease_until = ? WHERE id = ?
        RETURNING {_COLUMNS}"""  # noqa: S608 - a constant of ours
    return _message_of(select(connection, sql, (owner, to_micros(until), message))[0])


def _outcomes_text(outcomes: tuple[RecipientOutcome, ...]) -> str:
    return dumps([[outcome.address, outcome.state, outcome.reply] for outcome in outcomes])


def _outcome_of(item: object) -> RecipientOutcome:
    address, state, reply = as_texts(item, 3)
    return RecipientOutcome(address, word_of(RecipientState, state), reply)


def _values_of(message: QueuedMessage) -> tuple[str | int | None, ...]:
    what = (message.size, message.message_id, printable(message.subject))
    when = (message.state, to_micros(message.created_at), maybe_micros(message.next_try), message.attempts)
    said = (_outcomes_text(message.recipients), message.code, printable(message.reply))
    return (message.id, message.service, message.envelope.reverse_path, *what, *when, *said)


def _message_of(row: Row) -> QueuedMessage:
    name, service, reverse_path = MessageId(row.text()), ServiceId(row.text()), row.text()
    size, message_id, subject = row.number(), row.text(), row.text()
    state, created_at, next_try = word_of(MessageState, row.text()), row.time(), row.maybe_time()
    attempts = row.number()
    recipients = tuple(_outcome_of(item) for item in as_list(loads(row.text())))
    return QueuedMessage(
        id=name,
        service=service,
        envelope=Envelope(reverse_path, tuple(outcome.address for outcome in recipients)),
        size=size,
        message_id=message_id,
        subject=subject,
        state=state,
        created_at=created_at,
        next_try=next_try,
        attempts=attempts,
        recipients=recipients,
        code=row.text(),
        reply=row.text(),
    )
