"""The listening end: accepts commands of root and of our own user, performs their deeds, streams the answers."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

from mailbearer.admin.deeds import Deeds
from mailbearer.admin.speech import Arguments, Json, Who
from mailbearer.control.address import short_address
from mailbearer.control.frames import LINE_MAX, decode, encode, error_frame
from mailbearer.errors import InvalidInputError, MailbearerError, RemoteProtocolError

CHUNK = 256 * 1024  # octets of content that are handed on at once
COMMANDS_MAX = 200  # commands served at the same moment
_CREDENTIALS = struct.Struct("3i")


class ControlServer:
    """Serves ``path``. A command that goes away ends its deed; a sign-in that it began goes on."""

    def __init__(self, path: Path, deeds: Deeds) -> None:
        self._path = path
        self._deeds = deeds
        self._slots = asyncio.Semaphore(COMMANDS_MAX)

    async def serve(self) -> None:
        """Listen until cancelled, then remove the socket."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short_address(self._path) as address:
                listener.bind(address)
            self._path.chmod(0o600)
        except OSError:
            listener.close()
            raise
        server = await asyncio.start_unix_server(self._attend, sock=listener, limit=LINE_MAX)
        try:
            await server.serve_forever()
        finally:
            server.close()
            self._path.unlink(missing_ok=True)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._slots:
                await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the command went away; nothing is left to tell it
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def tell(event: dict[str, Json]) -> None:
            writer.write(encode({"event": event}))
            await writer.drain()

        try:
            who = _peer(writer)
            request = decode(await _line(reader))
            name, arguments = _read(request, reader)
            writer.write(encode({"result": await self._deeds.perform(name, arguments, who, tell)}))
        except MailbearerError as error:
            writer.write(encode(error_frame(error)))
        await writer.drain()


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError as error:
        raise RemoteProtocolError("MB-S31", host="the control socket", what="a line", limit=LINE_MAX) from error


def _peer(writer: asyncio.StreamWriter) -> Who:
    """Return who connects; only root and the user that Mailbearer runs as may (SPEC M1)."""
    peer = writer.get_extra_info("socket")
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process, user, _ = _CREDENTIALS.unpack(credentials)
    if user not in {0, os.getuid()}:
        raise InvalidInputError("MB-W04")
    return Who(name=f"uid {user}", place=f"command line, pid {process}")


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
