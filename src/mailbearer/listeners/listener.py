"""A listener: the open port, everybody who is connected, and the second hand of their clocks."""

import asyncio
import contextlib
import errno
import ssl
from collections.abc import AsyncGenerator

from mailbearer.clock import Clock
from mailbearer.errors import ConflictError
from mailbearer.listeners.connection import Connection, Session
from mailbearer.listeners.desk import Desk
from mailbearer.listeners.limits import Places
from mailbearer.listeners.smtp_submission import SubmissionSession

_WHY_NOT = {
    errno.EACCES: "ports below 1024 are kept for root",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}
BACKLOG = 512  # connections that the kernel keeps until we take them


class Listener:
    """Made by ``listening``; ``port`` is the one that was given, or found when that was 0."""

    def __init__(self, desk: Desk, clock: Clock, context: ssl.SSLContext | None) -> None:
        self._desk = desk
        self._clock = clock
        self._context = context
        self._places = Places(desk.limits)
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self.port = desk.options.port

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    def renew_context(self, context: ssl.SSLContext) -> None:
        """Use another certificate for connections from now on."""
        self._context = context

    async def open(self) -> None:
        """Open the port.

        Raises:
            ConflictError: MB-G08, another program has it; MB-G13, it cannot be had.
        """
        options = self._desk.options
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                self._connected, options.address or None, options.port, backlog=BACKLOG
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConflictError("MB-G08", port=options.port, detail=str(error)) from error
            reason = _WHY_NOT.get(error.errno or 0, error.strerror or str(error))
            raise ConflictError("MB-G13", port=options.port, reason=reason) from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def keep_time(self) -> None:
        """Once a second, end what takes too long; never returns."""
        while True:
            await self._clock.sleep(1.0)
            self._desk.tick()
            for connection in tuple(self._connections):
                connection.look()

    async def close(self) -> None:
        """Take nobody in any more, let messages under way come to their end, and close."""
        self._desk.closing = True
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.farewell()
        waited = 0.0
        while self._connections and waited < self._desk.limits.farewell:
            await self._clock.sleep(0.1)
            waited += 0.1
            for connection in tuple(self._connections):
                connection.farewell()
        for connection in tuple(self._connections):
            connection.abort()
        await self._desk.errands.finish()

    def _connected(self) -> Connection:
        return Connection(
            self._desk,
            context=self._context,
            places=self._places,
            connections=self._connections,
            session=self._session,
        )

    def _session(self, connection: Connection) -> Session:
        return SubmissionSession(connection, self._desk)


@contextlib.asynccontextmanager
async def listening(desk: Desk, clock: Clock, context: ssl.SSLContext | None = None) -> AsyncGenerator[Listener]:
    """Have an open listener for as long as the block runs.

    Raises:
        ConflictError: MB-G08, another program has the port.
    """
    listener = Listener(desk, clock, context)
    await listener.open()
    timekeeper = asyncio.get_running_loop().create_task(listener.keep_time())
    try:
        yield listener
    finally:
        await listener.close()
        timekeeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await timekeeper
