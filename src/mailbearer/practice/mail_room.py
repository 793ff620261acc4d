"""What one mail server of the practice provider works with, and the sockets that it listens on."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Final

from mailbearer.clock import Clock
from mailbearer.errors import ConnectionLostError, MailbearerError
from mailbearer.practice.bearer import Gate
from mailbearer.practice.connection import Connection
from mailbearer.practice.faults import Fault, FaultBook, Journal
from mailbearer.practice.mailboxes import Mailboxes

BACKLOG: Final = 100
HANDSHAKE_MAX: Final = 10.0  # seconds
PAUSE: Final = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class MailRoom:
    """Shared by all sessions of one mail server."""

    context: ssl.SSLContext
    gate: Gate
    mailboxes: Mailboxes
    faults: FaultBook
    journal: Journal
    clock: Clock
    message_limit: int

    async def fault(self, place: str, connection: Connection) -> Fault:
        """Return what goes wrong now at ``place``, after its delay.

        Raises:
            ConnectionLostError: the connection was to be closed, and has been.
        """
        fault = self.faults.take(place) or Fault()
        if fault.delay:
            await self.clock.sleep(fault.delay)
        if fault.drop and not fault.after:
            self.hang_up(place, connection)
        return fault

    def hang_up(self, place: str, connection: Connection) -> None:
        """Close the connection instead of answering.

        Raises:
            ConnectionLostError: always, so that the session ends.
        """
        self.journal.note(place, "", "dropped")
        connection.abort()
        raise ConnectionLostError("MB-S32", host="the client", when=place)


class Listeners:
    """Accepts connections and holds one task for each, until closed."""

    def __init__(self, group: asyncio.TaskGroup, clock: Clock) -> None:
        self._group = group
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def open(
        self,
        listener: socket.socket,
        serve: Callable[[Connection], Awaitable[None]],
        *,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Let ``serve`` have each connection that comes to ``listener``; with ``context`` it speaks TLS at once."""
        listener.setblocking(False)
        listener.listen(BACKLOG)
        self._start(self._accept(listener, serve, context))

    def close(self) -> None:
        """Stop listening and end all sessions."""
        for task in self._tasks:
            task.cancel()

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(
        self, listener: socket.socket, serve: Callable[[Connection], Awaitable[None]], context: ssl.SSLContext | None
    ) -> None:
        while True:
            try:
                accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
            except OSError:  # it went away again, or there are too many open files
                await self._clock.sleep(PAUSE)
                continue
            self._start(_session(accepted, serve, context))


async def _session(
    accepted: socket.socket, serve: Callable[[Connection], Awaitable[None]], context: ssl.SSLContext | None
) -> None:
    """Run one session; however the client behaves, it ends only this one."""
    connection = Connection()
    try:
        with contextlib.suppress(OSError, TimeoutError, MailbearerError):
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_MAX if context is not None else None,
            )
            await serve(connection)
        connection.close()
        await connection.wait_until_gone()
    finally:
        connection.abort()
        accepted.close()
