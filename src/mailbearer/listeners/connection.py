"""One TCP connection of a device: the header of a proxy, encryption, back-pressure; a session sees plain bytes only."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, Protocol

from mailbearer.errors import RemoteProtocolError
from mailbearer.listeners import replies
from mailbearer.listeners.desk import Desk, Encryption
from mailbearer.listeners.limits import Places
from mailbearer.listeners.proxy_protocol import V2_MAX, read_proxy_header
from mailbearer.listeners.tls import TlsLayer
from mailbearer.model.device import in_networks
from mailbearer.protocol.smtp.replies import Reply

HANDSHAKE: Final = 0x16
"""The first octet of a TLS connection (RFC 8446 section 5.1); no command begins with it."""

_OLD_ONLY: Final = frozenset({"UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW", "WRONG_SSL_VERSION"})


class Session(Protocol):
    """What speaks over a connection."""

    def begin(self) -> None:
        """The connection is ready, and encrypted if it is to be from the start: greet."""
        ...

    def received(self, data: bytes) -> None:
        """The device sent ``data``."""
        ...

    def ended(self) -> None:
        """The device will send nothing more."""
        ...

    def drained(self) -> None:
        """The device reads again."""
        ...

    def lost(self) -> None:
        """The connection is gone."""
        ...

    def look(self) -> None:
        """A second has passed: end what takes too long."""
        ...

    def farewell(self) -> None:
        """The listener closes: end as soon as nothing is under way."""
        ...


class Connection(asyncio.BufferedProtocol):
    """Layers over one transport."""

    __slots__ = (
        "_admitted",
        "_blocked_since",
        "_connections",
        "_context",
        "_desk",
        "_make_session",
        "_places",
        "_receive",
        "_session",
        "_since",
        "_start",
        "_tls",
        "_transport",
        "address",
        "blocked",
        "paused",
    )

    def __init__(
        self,
        desk: Desk,
        *,
        context: ssl.SSLContext | None,
        places: Places,
        connections: "set[Connection]",
        session: "Callable[[Connection], Session]",
    ) -> None:
        self._desk = desk
        self._context = context
        self._places = places
        self._connections = connections
        self._make_session = session
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._tls: TlsLayer | None = None
        self._receive: Callable[[bytes], None] = self._receive_nothing
        self._since = desk.now
        self._start = b""
        self._admitted = False
        self._blocked_since = 0.0
        self.paused = False  # the device is let wait
        self.blocked = False  # the device does not read what it is told
        self.address = ""

    # -- the loop calls -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP has no others
        """Begin."""
        self._transport = transport
        self._connections.add(self)
        match transport.get_extra_info("peername"):
            case (str(address), *_) if in_networks(address, self._desk.options.proxies):
                self.address = address
                self._receive = self._receive_proxy
            case (str(address), *_):
                self._admit(address)
            case _:  # gone already
                self.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - it is what there is
        """Return where the loop puts what comes; all connections share it, since each empties it at once."""
        return self._desk.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass what has come through the layers."""
        self._receive(self._desk.buffer[:nbytes].tobytes())

    def eof_received(self) -> bool:
        """Let what was asked be answered."""
        if self._session is None:
            self.abort()
        else:
            self._session.ended()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - whatever the reason
        """Tell the session, and give the place back."""
        self._transport = self._tls = None
        self._connections.discard(self)
        if self._admitted:
            self._places.leave(self.address)
        session, self._session = self._session, None
        if session is not None:
            session.lost()
        self._receive = self._receive_nothing

    def pause_writing(self) -> None:
        """Note that the device does not read."""
        self.blocked = True
        self._blocked_since = self._desk.now

    def resume_writing(self) -> None:
        """Note that it reads again."""
        self.blocked = False
        if self._session is not None:
            self._session.drained()

    # -- the session calls --------------------------------------------------------------------------------------------

    @property
    def sealed(self) -> bool:
        """It is encrypted."""
        return self._tls is not None

    @property
    def tls_version(self) -> str:
        """``TLSv1.3``, or empty when it is not encrypted."""
        return self._tls.version if self._tls is not None else ""

    def write(self, data: bytes) -> None:
        """Send ``data``; see ``blocked``."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._tls is None:
            transport.write(data)
            return
        try:
            self._tls.write(data)
        except ssl.SSLError:  # it has been closed by the other side
            transport.abort()

    def start_tls(self) -> None:
        """Go on with TLS; what is to be said before it has been written."""
        if self._context is not None and self._transport is not None:
            self._since = self._desk.now
            self._tls = TlsLayer(self._context, self._transport.write)
            self._receive = self._receive_sealed

    def pause_reading(self) -> None:
        """Let the device wait."""
        if not self.paused and self._transport is not None and not self._transport.is_closing():
            self.paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Let it go on."""
        if self.paused:
            self.paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    def close(self) -> None:
        """End the connection once everything written is sent."""
        if self._tls is not None and self._transport is not None and not self._transport.is_closing():
            self._tls.close()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # -- the listener calls -------------------------------------------------------------------------------------------

    def look(self) -> None:
        """A second has passed: end what takes too long."""
        limits, now = self._desk.limits, self._desk.now
        shaking = self._session is None or (self._tls is not None and not self._tls.established)
        unread = self.blocked and now - self._blocked_since > limits.unread
        if unread or (shaking and now - self._since > limits.handshake):
            self.abort()
        elif self._transport is not None and self._transport.is_closing():
            if now - self._since > limits.session + limits.unread:
                self.abort()
        elif self._session is not None:
            self._session.look()

    def farewell(self) -> None:
        """The listener closes."""
        if self._session is None:
            self.abort()
        else:
            self._session.farewell()

    # -- layers -------------------------------------------------------------------------------------------------------

    def _admit(self, address: str) -> None:
        self.address = address
        options = self._desk.options
        if options.networks and not in_networks(address, options.networks):
            self._desk.notice("MB-G15", ip=address, port=options.port)
            self._turn_away(replies.NOT_FROM_THERE)
        elif self._desk.closing:
            self._turn_away(replies.CLOSING)
        elif not self._places.enter(address):
            self._desk.notice("MB-G14", ip=address)
            self._turn_away(replies.TOO_MANY_CONNECTIONS)
        else:
            self._admitted = True
            self._choose()

    def _choose(self) -> None:
        match self._desk.options.encryption:
            case Encryption.IMPLICIT:
                self.start_tls()
            case Encryption.BOTH:
                self._receive = self._receive_first
                asyncio.get_running_loop().call_later(self._desk.limits.first_byte, self._greet_the_silent)
            case Encryption.NONE | Encryption.STARTTLS:
                self._open()

    def _turn_away(self, reply: Reply) -> None:
        if self._desk.options.encryption is not Encryption.IMPLICIT:
            self.write(reply.wire)
        self._receive = self._receive_nothing
        self.close()

    def _open(self) -> None:
        session = self._session = self._make_session(self)
        if self._tls is None:
            self._receive = session.received  # nothing lies between
        session.begin()

    def _greet_the_silent(self) -> None:
        if self._session is None and self._tls is None and self._transport is not None:
            self._open()

    def _receive_nothing(self, data: bytes) -> None:
        pass

    def _receive_proxy(self, data: bytes) -> None:
        self._start += data
        try:
            found = read_proxy_header(self._start[: V2_MAX + 1])
        except RemoteProtocolError:
            self._receive = self._receive_nothing
            self.abort()
            return
        if found is None:
            return
        rest = found.rest + self._start[V2_MAX + 1 :]
        self._start = b""
        self._admit(found.address or self.address)
        if rest:
            self._receive(rest)

    def _receive_first(self, data: bytes) -> None:
        if data[0] == HANDSHAKE:
            self.start_tls()
        else:
            self._open()
        self._receive(data)

    def _receive_sealed(self, data: bytes) -> None:
        tls = self._tls
        if tls is None:
            return
        try:
            plain = tls.receive(data)
        except ssl.SSLError as error:
            self._fail(error)
            return
        if self._session is None and tls.established:
            self._open()
        session = self._session
        if plain and session is not None:
            session.received(plain)
        if tls.closed and session is not None:
            session.ended()

    def _fail(self, error: ssl.SSLError) -> None:
        if error.reason in _OLD_ONLY:
            self._desk.notice("MB-G05", device=self.address, version="1.1 or older")
        self._receive = self._receive_nothing
        if self._transport is not None:
            self._transport.close()  # the alert goes out first
