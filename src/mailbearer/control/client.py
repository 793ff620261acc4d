"""The asking end, without asyncio: a command such as ``token access`` must be done in a blink."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from mailbearer.admin.speech import Json
from mailbearer.control.address import short_address
from mailbearer.control.frames import LINE_MAX, decode, encode
from mailbearer.errors import RemoteProtocolError, ReportedError

CHUNK = 256 * 1024


def connect(path: Path) -> socket.socket | None:
    """Return a connection to the service that serves this data folder, or None when none runs."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_address(path) as address:
            peer.connect(address)
    except OSError:
        peer.close()
        return None
    return peer


def ask(
    peer: socket.socket,
    deed: str,
    arguments: dict[str, Json],
    *,
    content: tuple[BinaryIO, int] | None = None,
    on_event: Callable[[dict[str, Json]], None],
) -> Json:
    """Ask for one deed and return its result; events are handed over as they come.

    ``content`` is an open file and how many octets of it belong to the request.

    Raises:
        ReportedError: the service reports an error.
        RemoteProtocolError: the service went away.
    """
    length = None if content is None else content[1]
    try:
        peer.sendall(encode({"deed": deed, "arguments": arguments, "content": length}))
        if content is not None:
            _pour(peer, *content)
    except OSError as error:
        # the service may have refused before it read everything: what it said is still there to be read
        if not isinstance(error, BrokenPipeError | ConnectionResetError):
            raise
    for frame in _frames(peer):
        if "event" in frame and isinstance(event := frame["event"], dict):
            on_event(event)
        elif isinstance(told := frame.get("error"), dict):
            raise _reported(told)
        else:
            return frame.get("result")
    raise RemoteProtocolError("MB-W24")


def _pour(peer: socket.socket, file: BinaryIO, length: int) -> None:
    while length:
        chunk = file.read(min(CHUNK, length))
        if not chunk:
            raise RemoteProtocolError("MB-S32", host="the file", when="while it was read: it became shorter")
        peer.sendall(chunk)
        length -= len(chunk)


def _frames(peer: socket.socket) -> Iterator[dict[str, Json]]:
    buffer = bytearray()
    while True:
        while (end := buffer.find(b"\n")) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            yield decode(line)
        if len(buffer) > LINE_MAX:
            decode(bytes(buffer))
        try:
            data = peer.recv(CHUNK)
        except OSError:
            data = b""
        if not data:
            return
        buffer += data


def _reported(told: dict[str, Json]) -> ReportedError:
    return ReportedError(
        _text(told, "code"),
        message=_text(told, "message"),
        hint=_text(told, "hint"),
        actor=_text(told, "actor"),
        detail=_text(told, "detail"),
        permanent=told.get("permanent") is True,
    )


def _text(told: dict[str, Json], name: str) -> str:
    value = told.get(name, "")
    return value if isinstance(value, str) else ""
