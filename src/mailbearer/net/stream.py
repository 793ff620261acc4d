"""One connection to a server: bytes in, bytes out, every wait bounded, TLS inside. Why our own: docs/decisions/0007.

Nothing is read from the socket before somebody asks for it. So there is no buffer of ours to bound or to lose: what was
sent before an abrupt end waits in the kernel, and a server that floods fills its own window.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator
from datetime import datetime

from mailbearer.errors import ConnectError, ConnectionLostError, DeadlineError, RemoteProtocolError
from mailbearer.model.service import TlsMode
from mailbearer.net import tls
from mailbearer.net.route import Route

CHUNK = 65_536
HANDSHAKE_SECONDS = 10.0
INJECTED = "data before the encryption began"
FAREWELL_SECONDS = 1.0  # for TLS's close_notify


class _Layer:
    """TLS between two memory buffers; knows no socket."""

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_hostname=server_name)

    def fed(self, data: bytes) -> None:
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()


class Stream:
    """A connection, made by :mod:`mailbearer.net.connect`. For one task at a time.

    Each wait ends after ``deadline`` seconds with a DeadlineError; ``when`` says in the error what was going on. After
    an error the stream is of no more use but to be closed.
    """

    def __init__(self, sock: socket.socket, route: Route) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._layer: _Layer | None = None
        self.route = route
        self.peer_address = str(sock.getpeername()[0])

    @property
    def encrypted(self) -> bool:
        """Is everything sent inside TLS whose certificate was verified."""
        return self._layer is not None

    @property
    def tls_version(self) -> str:
        """The version of TLS, for instance ``TLSv1.3``; empty when there is none."""
        return (self._layer.object.version() or "") if self._layer else ""

    @property
    def certificate(self) -> tls.Certificate | None:
        """The server's certificate, verified; None without TLS."""
        return tls.certificate_of(self._layer.object) if self._layer else None

    async def read(self, limit: int = CHUNK, *, deadline: float, when: str = "") -> bytes:
        """Return the next 1 to ``limit`` bytes, or ``b""`` at the end of the connection."""
        async with self._bounded(deadline, when):
            return await (self._read_sealed(self._layer, limit) if self._layer else self._receive(limit))

    async def write(self, data: bytes, *, deadline: float, when: str = "") -> None:
        """Return when all of ``data`` has been taken by the system, which may have to wait for the other side."""
        async with self._bounded(deadline, when):
            if self._layer:
                await self._write_sealed(self._layer, data)
            else:
                await self._send(data)

    async def start_tls(self, context: ssl.SSLContext, server_name: str, *, now: datetime) -> "Stream":
        """Return a new stream that speaks TLS on this connection; this one cannot be used any more.

        Raises:
            RemoteProtocolError: the server has already sent what no TLS server sends (STARTTLS injection).
            ConnectError: the handshake failed, or the server begins without TLS; the code tells whether the certificate
                is to blame.
        """
        if self._unread():
            self.abort()
            if self.route.tls is TlsMode.IMPLICIT:
                raise ConnectError(self.route.code(10), host=self.route.host, problem=tls.SPEAKS_CLEARLY)
            raise RemoteProtocolError(self.route.code(30), host=self.route.host, problem=INJECTED)
        sealed = Stream(self._socket.dup(), self.route)
        self.abort()
        try:
            await sealed._shake_hands(_Layer(context, server_name), now)
        except BaseException:
            sealed.abort()
            raise
        return sealed

    async def close(self) -> None:
        """End the connection politely, but without waiting for the other side. May be called twice."""
        if self._layer and self._socket.fileno() >= 0:
            with contextlib.suppress(OSError, ConnectError):
                async with self._bounded(FAREWELL_SECONDS, "at the end"):
                    with contextlib.suppress(ssl.SSLWantReadError):
                        self._layer.object.unwrap()
                    await self._flush(self._layer)
        self.abort()

    def abort(self) -> None:
        """End the connection at once."""
        self._socket.close()

    @contextlib.asynccontextmanager
    async def _bounded(self, seconds: float, when: str) -> AsyncGenerator[None]:
        host = self.route.host
        if self._socket.fileno() < 0:
            raise ConnectionLostError(self.route.code(32), host=host, when=when, detail="it is closed")
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            told = f"{seconds:g}"
            raise DeadlineError(self.route.code(33), host=host, seconds=told, when=when) from error
        except OSError as error:
            detail = error.strerror or str(error)
            raise ConnectionLostError(self.route.code(32), host=host, when=when, detail=detail) from error

    def _unread(self) -> bool:
        with contextlib.suppress(OSError):  # BlockingIOError: nothing there
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        return False

    async def _receive(self, limit: int) -> bytes:
        await _turn()
        return await asyncio.get_running_loop().sock_recv(self._socket, limit)

    async def _send(self, data: bytes | memoryview) -> None:
        await _turn()
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def _flush(self, layer: _Layer) -> None:
        if layer.outgoing.pending:
            await self._send(layer.outgoing.read())

    async def _exchange(self, layer: _Layer) -> None:
        await self._flush(layer)
        layer.fed(await self._receive(CHUNK))

    async def _read_sealed(self, layer: _Layer, limit: int) -> bytes:
        while True:
            try:
                return layer.object.read(limit)
            except ssl.SSLWantReadError:
                await self._exchange(layer)
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""  # many servers end without close_notify; the mail protocols have ends of their own

    async def _write_sealed(self, layer: _Layer, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[layer.object.write(rest[:CHUNK]) :]
                await self._flush(layer)
            except ssl.SSLWantReadError:
                await self._exchange(layer)

    async def _shake_hands(self, layer: _Layer, now: datetime) -> None:
        try:
            async with self._bounded(self.route.patience(HANDSHAKE_SECONDS), "in the TLS handshake"):
                await self._handshake(layer, now)
        except ConnectionLostError as error:
            host, problem = self.route.host, "it closed the connection during the handshake"
            raise ConnectError(self.route.code(10), host=host, problem=problem, detail=error.detail) from error
        self._layer = layer

    async def _handshake(self, layer: _Layer, now: datetime) -> None:
        while True:
            try:
                layer.object.do_handshake()
                return await self._flush(layer)
            except ssl.SSLWantReadError:
                await self._exchange(layer)
            except ssl.SSLError as error:
                with contextlib.suppress(OSError):
                    await self._flush(layer)  # the alert that tells the other side why
                raise tls.explain(error, layer.object, self.route, now) from error


async def _turn() -> None:
    """Let others run: a socket that always has something to give would otherwise keep the loop to itself."""
    await asyncio.sleep(0)  # noqa: TID251 - waits for nothing
