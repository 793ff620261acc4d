"""What the courier writes down: many messages in one transaction."""

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum

import apsw

from mailbearer.model.message import MessageId, MessageState, QueuedMessage
from mailbearer.store.bodies import Place, drop
from mailbearer.store.database import Database
from mailbearer.store.messages import COLUMNS, message_of, outcomes_text
from mailbearer.store.rows import change, dumps, maybe_micros, printable, select, to_micros
from mailbearer.store.segments import Segments

# One statement for all: what a thread asks of SQLite disturbs the loop once for each
_SET = """UPDATE messages SET state = new.value ->> 1, next_try = new.value ->> 2, attempts = new.value ->> 3,
    recipients = new.value ->> 4, code = new.value ->> 5, reply = new.value ->> 6, lease_owner = '', lease_until = 0
    FROM json_each(?) AS new
    WHERE messages.id = new.value ->> 0 AND messages.lease_owner = ? AND messages.state = 'Sending'
    RETURNING messages.id"""
_UNTOLD = f"""SELECT {COLUMNS} FROM messages WHERE state = 'Failed' AND told <> 'Failed' AND reverse_path <> ''
    ORDER BY position LIMIT ?"""  # noqa: S608 - a constant of ours


class Told(StrEnum):
    """What the sender of a message has heard of it."""

    NOTHING = ""
    DELAYED = "Delayed"
    FAILED = "Failed"


class Outcomes:
    """The table ``messages`` as its couriers see it."""

    def __init__(self, database: Database, segments: Segments) -> None:
        self._database = database
        self._segments = segments

    async def set_all(
        self, messages: Sequence[QueuedMessage], *, owner: str, patience: float = 0.0
    ) -> tuple[bool, ...]:
        """Write down how attempts ended, as ``Messages.set_outcome`` does; tell of each whether it was the owner's.

        For up to ``patience`` seconds they wait for something else that is to be written.
        """
        freed: list[Place] = []

        def work(connection: apsw.Connection) -> tuple[bool, ...]:
            freed.clear()
            rows = [_values_of(message) for message in messages]
            ours = {row.text() for row in select(connection, _SET, (dumps(rows), owner))}
            accepted = MessageState.ACCEPTED
            freed.extend(
                drop(connection, *(each.id for each in messages if each.id in ours and each.state is accepted))
            )
            return tuple(message.id in ours for message in messages)

        def after(ok: bool) -> None:
            if ok:
                self._segments.free(freed)

        return await self._database.write(work, after=after, patience=patience)

    async def let_go(self, messages: Collection[MessageId], *, owner: str) -> None:
        """Put messages whose attempt was not made, or broken off, back into the queue, due at once."""
        sql = """UPDATE messages SET state = CASE attempts WHEN 0 THEN 'Waiting' ELSE 'Retrying' END, next_try = NULL,
            lease_owner = '', lease_until = 0 WHERE id = ? AND lease_owner = ? AND state = 'Sending'"""

        def work(connection: apsw.Connection) -> None:
            for message in messages:
                change(connection, sql, (message, owner))

        await self._database.write(work)

    async def extend_leases(self, messages: Collection[MessageId], *, owner: str, until: datetime) -> None:
        """Keep claimed messages for longer."""
        sql = "UPDATE messages SET lease_until = ? WHERE id = ? AND lease_owner = ? AND state = 'Sending'"

        def work(connection: apsw.Connection) -> None:
            for message in messages:
                change(connection, sql, (to_micros(until), message, owner))

        await self._database.write(work)

    async def told(self, message: MessageId) -> Told:
        """Return what the sender of a message has heard."""

        def work(connection: apsw.Connection) -> Told:
            found = select(connection, "SELECT told FROM messages WHERE id = ?", (message,))
            word = found[0].text() if found else ""
            return Told(word) if word in set(Told) else Told.NOTHING

        return await self._database.read(work)

    async def set_told(self, message: MessageId, told: Told) -> None:
        """Note what the sender of a message has heard."""
        sql = "UPDATE messages SET told = ? WHERE id = ?"
        await self._database.write(lambda connection: change(connection, sql, (told, message)))

    async def untold(self, *, limit: int = 100) -> tuple[QueuedMessage, ...]:
        """Return failed messages whose senders have not heard of it: a process died in between."""
        return await self._database.read(
            lambda connection: tuple(map(message_of, select(connection, _UNTOLD, (limit,))))
        )


def _values_of(message: QueuedMessage) -> list[str | int | None]:
    return [
        message.id,
        message.state,
        maybe_micros(message.next_try),
        message.attempts,
        outcomes_text(message.recipients),
        message.code,
        printable(message.reply),
    ]
