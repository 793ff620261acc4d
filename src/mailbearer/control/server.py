"""The listening end: accepts commands of root and of our own user, performs their deeds, streams the answers."""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

from mailbearer.admin.deeds import WAITING_DEEDS, Deeds
from mailbearer.admin.speech import Arguments, Json, Who
from mailbearer.clock import Clock
from mailbearer.control.address import short_address
from mailbearer.control.frames import LINE_MAX, decode, encode, error_frame
from mailbearer.control.people import user_name
from mailbearer.errors import InvalidInputError, MailbearerError, RemoteProtocolError, StoreError

CHUNK = 256 * 1024  # octets of content that are handed on at once
COMMANDS_MAX = 200  # commands served at the same moment
BACKLOG = 128
GRACE = 10.0  # seconds that deeds which are being done get when the service stops
PAUSE = 0.2  # seconds after a connection that could not be accepted
_CREDENTIALS = struct.Struct("3i")
_log = logging.getLogger(__name__)


class ControlServer:
    """Serves the socket ``path``. A command that goes away ends its deed; a sign-in that it began goes on."""

    def __init__(self, path: Path, deeds: Deeds, clock: Clock) -> None:
        self._path = path
        self._deeds = deeds
        self._clock = clock
        self._slots = asyncio.Semaphore(COMMANDS_MAX)
        self._listener: socket.socket | None = None
        self._doing: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Begin to listen; commands that come are served as soon as ``serve`` runs.

        Raises:
            StoreError: MB-D01, there can be no socket in the data folder.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        before = os.umask(0o177)  # the socket is 0600 from its first moment on
        try:
            self._path.unlink(missing_ok=True)
            with short_address(self._path) as address:
                listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            reason = f"{self._path.name}: {error.strerror or 'no socket'}"
            raise StoreError("MB-D01", path=str(self._path.parent), reason=reason) from error
        finally:
            os.umask(before)
        self._listener = listener

    async def serve(self) -> None:
        """Serve until cancelled; then remove the socket, and let what is being done end within ``GRACE``."""
        if self._listener is None:
            self.open()
        async with asyncio.TaskGroup() as tasks:
            try:
                await self._accept(tasks)
            finally:
                self.close()
                for task in self._waiting:
                    task.cancel()
                if self._doing:
                    await asyncio.wait(self._doing, timeout=GRACE)

    def close(self) -> None:
        """Listen no more and remove the socket; a second time is no fault."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self._path.unlink(missing_ok=True)

    async def _accept(self, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while self._listener is not None:
            await self._slots.acquire()
            try:
                peer, _ = await loop.sock_accept(self._listener)
            except OSError as error:  # too many open files: the next one may be served again
                self._slots.release()
                _log.warning("a command was not accepted: %s", error.strerror)
                await self._clock.sleep(PAUSE)
                continue
            task = tasks.create_task(self._attend(peer))
            self._doing.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._doing.discard(task)
        self._waiting.discard(task)
        self._slots.release()

    async def _attend(self, peer: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=peer, limit=LINE_MAX)
        try:
            await self._converse(reader, writer, _credentials(peer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the command went away; nothing is left to tell it
        finally:
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, credentials: tuple[int, int]
    ) -> None:
        async def tell(event: dict[str, Json]) -> None:
            writer.write(encode({"event": event}))
            await writer.drain()

        try:
            who = _admitted(credentials)
            name, arguments = _read(decode(await _line(reader)), reader)
            if name in WAITING_DEEDS:
                result = await self._attended(reader, self._deeds.perform(name, arguments, who, tell))
            else:
                result = await self._deeds.perform(name, arguments, who, tell)
            writer.write(encode({"result": result}))
        except MailbearerError as error:
            writer.write(encode(error_frame(error)))
        except (ConnectionError, asyncio.IncompleteReadError):
            raise
        except Exception:  # noqa: BLE001 - one deed that we do badly must not end the service
            _log.exception("a deed met a fault of this program")
            writer.write(encode(error_frame(MailbearerError())))
        await writer.drain()

    async def _attended(self, reader: asyncio.StreamReader, work: Awaitable[dict[str, Json]]) -> dict[str, Json]:
        """Do ``work``, which only looks on, no longer than somebody is there to be told, or the service runs."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._doing.discard(task)
        self._waiting.add(task)

        async def leave() -> None:
            await reader.read(1)  # commands say nothing after their request: this is the end
            task.cancel()

        result: dict[str, Json] = {}
        failure: MailbearerError | None = None  # raised below: a task group would wrap it
        async with asyncio.TaskGroup() as watch:
            watcher = watch.create_task(leave())
            try:
                result = await work
            except MailbearerError as error:
                failure = error
            finally:
                watcher.cancel()
        if failure is not None:
            raise failure
        return result


def _credentials(peer: socket.socket) -> tuple[int, int]:
    """Return process and user of the other end, as the kernel tells them (unix(7), SO_PEERCRED)."""
    process, user, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return process, user


def _admitted(credentials: tuple[int, int]) -> Who:
    """Return who connects; only root and the user that Mailbearer runs as may (SPEC M1)."""
    process, user = credentials
    if user not in {0, os.getuid()}:
        raise InvalidInputError("MB-W04")
    return Who(name=user_name(user), place=f"command line, pid {process}")


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError as error:
        raise RemoteProtocolError("MB-S31", host="the control socket", what="a line", limit=LINE_MAX) from error


def _read(request: dict[str, Json], reader: asyncio.StreamReader) -> tuple[str, Arguments]:
    name, values, length = request.get("deed"), request.get("arguments", {}), request.get("content")
    if not isinstance(name, str) or not isinstance(values, dict):
        raise RemoteProtocolError("MB-S30", host="the control socket", problem="no deed")
    if length is None:
        return name, Arguments(values)
    if not isinstance(length, int) or length < 0:
        raise RemoteProtocolError("MB-S30", host="the control socket", problem="no length")
    return name, Arguments(values, _content(reader, length))


async def _content(reader: asyncio.StreamReader, length: int) -> AsyncIterator[bytes]:
    while length:
        chunk = await reader.read(min(CHUNK, length))
        if not chunk:
            raise RemoteProtocolError("MB-S32", host="the control socket", when="in the middle of a message")
        length -= len(chunk)
        yield chunk
