"""The server's end of one TCP connection: bounded reading, writing with back-pressure, TLS from the start or later."""

import asyncio
import contextlib
import ssl
from typing import Final

from mailbearer.errors import ConnectionLostError, RemoteProtocolError

UNREAD_MAX: Final = 256 * 1024  # octets; reading pauses above
IDLE_MAX: Final = 300.0  # seconds, RFC 5321 section 4.5.3.2.7
FAREWELL_MAX: Final = 5.0  # seconds


class Connection(asyncio.Protocol):
    """Bytes in, bytes out, for one task."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._ended = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = asyncio.Event()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP has no others
        """Begin."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep ``data`` until it is read."""
        self._unread += data
        self._readable.set()
        if len(self._unread) > UNREAD_MAX and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Stop reading, but let what was asked be answered."""
        self._end()
        return self._transport is not None and self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - whatever the reason
        """Wake whoever waits."""
        self._transport = None
        self._end()
        self._writable.set()
        self._gone.set()

    def pause_writing(self) -> None:
        """Let writers wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writable.set()

    async def read(self) -> bytes:
        """Return what has come since, ``b""`` at the end.

        Raises:
            TimeoutError: nothing came for ``IDLE_MAX`` seconds.
        """
        async with asyncio.timeout(IDLE_MAX):
            await self._readable.wait()
        data = bytes(self._unread)
        self._unread.clear()
        if not self._ended:
            self._readable.clear()
            self._open_transport().resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send ``data``; return when the next may be given.

        Raises:
            ConnectionLostError: the other side has gone.
            TimeoutError: it takes nothing for ``IDLE_MAX`` seconds.
        """
        self._open_transport().write(data)
        async with asyncio.timeout(IDLE_MAX):
            await self._writable.wait()

    async def start_tls(self, ready: bytes, context: ssl.SSLContext) -> None:
        """Send ``ready`` and let TLS begin.

        Raises:
            RemoteProtocolError: the client did not wait for ``ready`` (STARTTLS injection).
            ConnectionLostError: the other side has gone.
            OSError: the handshake failed.
        """
        transport = self._open_transport()
        transport.pause_reading()  # what comes from here on is TLS
        if self._unread:
            raise RemoteProtocolError("MB-S30", host="the client", problem="data before the encryption began")
        transport.write(ready)
        sealed = await asyncio.get_running_loop().start_tls(transport, self, context, server_side=True)
        if sealed is None or self._ended:
            raise ConnectionLostError("MB-S32", host="the client", when="in the TLS handshake")
        self._transport = sealed

    def close(self) -> None:
        """End the connection once everything written is sent."""
        if self._transport is not None:
            self._transport.close()

    async def wait_until_gone(self) -> None:
        """Return when everything is sent and the connection has ended, or after ``FAREWELL_MAX`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_MAX):
                await self._gone.wait()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        self._ended = True
        self._readable.set()

    def _open_transport(self) -> asyncio.Transport:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionLostError("MB-S32", host="the client", when="")
        return self._transport
