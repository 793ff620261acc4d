"""One connection to a server: bytes in, bytes out, every wait bounded, TLS inside. Why our own: docs/decisions/0007.

Nothing is read from the socket before somebody asks for it. So there is no buffer of ours to bound or to lose: what was
sent before an abrupt end waits in the kernel, and a server that floods fills its own window.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator, Generator
from datetime import datetime

from mailbearer.errors import ConnectError, ConnectionLostError, DeadlineError, RemoteProtocolError
from mailbearer.model.service import TlsMode
from mailbearer.net import tls
from mailbearer.net.route import Route

CHUNK = 65_536
HANDSHAKE_SECONDS = 10.0
INJECTED = "data before the encryption began"
IN_A_ROW = 16_384  # bytes read and written without waiting, after which others get their turn
FAREWELL_SECONDS = 1.0  # for TLS's close_notify


class _Layer:
    """TLS between two memory buffers; knows no socket."""

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_hostname=server_name)

    def sealed(self, data: bytes) -> bytes | None:
        """Return ``data`` as it goes over the wire; None when TLS itself has something to say or to hear before."""
        if self.outgoing.pending or len(data) > CHUNK:
            return None
        try:
            self.object.write(data)
        except ssl.SSLError:  # an error shows again to whoever waits
            return None
        return self.outgoing.read()

    def fed(self, data: bytes) -> None:
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()


class _Incoming:
    """Waits until a socket has something to give.

    The loop stays told to look at it from one wait to the next: a conversation waits once for each message.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._loop: asyncio.AbstractEventLoop | None = None  # that looks at it
        self._waiter: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._seconds = 0.0
        self._late = False

    def end_after(self, seconds: float) -> None:
        """Let the waits from here on end with a TimeoutError when they take more than so many seconds together."""
        self._seconds, self._late = seconds, False
        self._silence()

    async def wait(self) -> None:
        """Return when there is something, or the end."""
        if self._late:
            raise TimeoutError
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._socket, self._came)
        if self._alarm is None:
            self._alarm = self._loop.call_later(self._seconds, self._ring)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        """Look no more."""
        self._silence()
        self._look_away()

    def _silence(self) -> None:
        alarm, self._alarm = self._alarm, None
        if alarm is not None:
            alarm.cancel()

    def _ring(self) -> None:
        self._alarm, self._late = None, True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(TimeoutError())

    def _came(self) -> None:
        waiter = self._waiter
        if waiter is None:
            self._look_away()  # it waits in the kernel until somebody asks
        elif not waiter.done():
            waiter.set_result(None)

    def _look_away(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed() and self._socket.fileno() >= 0:
            loop.remove_reader(self._socket)


class Stream:
    """A connection, made by :mod:`mailbearer.net.connect`. For one task at a time.

    Each wait ends after ``deadline`` seconds with a DeadlineError; ``when`` says in the error what was going on. After
    an error the stream is of no more use but to be closed.
    """

    def __init__(self, sock: socket.socket, route: Route) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._layer: _Layer | None = None
        self._in_a_row = 0  # bytes since something had to be waited for
        self._incoming = _Incoming(sock)
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
        if self._layer is None and self._in_a_row < IN_A_ROW and (data := self._at_hand(limit)):
            if len(data) == limit:  # there is more
                await _turn()
            return data
        self._in_a_row = 0
        self._incoming.end_after(deadline)
        with self._explained(deadline, when):
            return await (self._read_sealed(self._layer, limit) if self._layer else self._receive(limit))

    async def write(self, data: bytes, *, deadline: float, when: str = "") -> None:
        """Return when all of ``data`` has been taken by the system, which may have to wait for the other side."""
        if self._in_a_row < IN_A_ROW and self._socket.fileno() >= 0:
            sealed = self._layer.sealed(data) if self._layer else data
            if sealed is not None:
                rest = sealed[self._taken_at_once(sealed) :]
                if rest:
                    self._in_a_row = 0
                    async with self._bounded(deadline, when):
                        await self._send(rest)
                return
        self._in_a_row = 0
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
        self._incoming.close()
        self._socket.close()

    @contextlib.asynccontextmanager
    async def _bounded(self, seconds: float, when: str) -> AsyncGenerator[None]:
        self._incoming.end_after(seconds)  # whoever writes inside TLS may have to read
        with self._explained(seconds, when):
            async with asyncio.timeout(seconds):
                yield

    @contextlib.contextmanager
    def _explained(self, seconds: float, when: str) -> Generator[None]:
        host = self.route.host
        if self._socket.fileno() < 0:
            raise ConnectionLostError(self.route.code(32), host=host, when=when, detail="it is closed")
        try:
            yield
        except TimeoutError as error:
            told = f"{seconds:g}"
            raise DeadlineError(self.route.code(33), host=host, seconds=told, when=when) from error
        except OSError as error:
            detail = error.strerror or str(error)
            raise ConnectionLostError(self.route.code(32), host=host, when=when, detail=detail) from error

    def _at_hand(self, limit: int) -> bytes:
        """Return what has come already; an error shows again to whoever waits for more."""
        try:
            data = self._socket.recv(limit)
        except OSError:
            return b""
        self._in_a_row += len(data)
        return data

    def _taken_at_once(self, data: bytes) -> int:
        """Return how much of ``data`` the system takes without waiting; an error shows again at the next try."""
        try:
            taken = self._socket.send(data)
        except OSError:
            return 0
        self._in_a_row += taken
        return taken

    def _unread(self) -> bool:
        with contextlib.suppress(OSError):  # BlockingIOError: nothing there
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        return False

    async def _receive(self, limit: int) -> bytes:
        waited = False
        while True:
            try:
                data = self._socket.recv(limit)
            except (BlockingIOError, InterruptedError):
                await self._incoming.wait()
                waited = True
            else:
                if not waited:
                    await _turn()
                return data

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
                if layer.outgoing.pending:
                    async with asyncio.timeout(HANDSHAKE_SECONDS):
                        await self._flush(layer)
                layer.fed(await self._receive(CHUNK))
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
