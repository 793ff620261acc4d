"""The client's side of SMTP (RFC 5321, 2920 pipelining, 3207 STARTTLS, 4954 AUTH).

Bytes from the server go into ``receive``, events come out of ``next_event``, and ``send`` and ``body`` turn what the
client wants to say into bytes. The phases, and what may be sent in each:

    GREETING    nothing: the server speaks first (after STARTTLS it does not, so no core is made with this phase)
    READY       commands, one after the other without waiting, until one that must be the last of its group
    CHALLENGED  AuthResponse or AuthCancel
    BODY        ``body``, then EndOfData
    OVER        nothing: TLS begins and needs a new core, or the server has said farewell

The server's fault raises RemoteProtocolError or, for a lost connection, ConnectionLostError, each time it is asked
again; neither knows the host, whoever owns the connection adds it.
"""

import re
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import ClassVar, Final, assert_never

from mailbearer.errors import (
    ConnectionLostError,
    InvalidInputError,
    LocalProtocolError,
    MailbearerError,
    RemoteProtocolError,
)
from mailbearer.model.envelope import is_address
from mailbearer.protocol.dots import DotStuffer
from mailbearer.protocol.lines import LineBuffer, excerpt, is_plain
from mailbearer.protocol.sasl import coding
from mailbearer.protocol.smtp.replies import REPLY_LINE_MAX, Reply, ReplyReader

CHALLENGE_LINE_MAX: Final = 65_536
"""Octets of a line that may be a SASL challenge."""

_WORD = re.compile(r"[!-~]{1,255}")
_DSN_WORD = re.compile(r"[A-Z]{1,20}")
_KIND = re.compile(r"[A-Za-z0-9-]{1,40}")
_MECHANISM = re.compile(r"[A-Z0-9_-]{1,20}")  # RFC 4422 section 3.1


@dataclass(frozen=True, slots=True)
class Ehlo:
    """Introduce ourselves and ask for extensions."""

    verb: ClassVar[str] = "EHLO"
    name: str


@dataclass(frozen=True, slots=True)
class Helo:
    """Introduce ourselves to a server that does not know EHLO."""

    verb: ClassVar[str] = "HELO"
    name: str


@dataclass(frozen=True, slots=True)
class StartTls:
    """Ask for TLS. After the positive answer this core is over: a new connection state needs a new core."""

    verb: ClassVar[str] = "STARTTLS"


@dataclass(frozen=True, slots=True)
class Auth:
    """Begin a sign-in, always without the initial response: tokens do not fit a command line (RFC 4954 section 4)."""

    verb: ClassVar[str] = "AUTH"
    mechanism: str


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """Answer a challenge; ``data`` is without base64."""

    verb: ClassVar[str] = "AUTH"
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthCancel:
    """End the sign-in instead of answering a challenge."""

    verb: ClassVar[str] = "AUTH"


@dataclass(frozen=True, slots=True)
class MailFrom:
    """Begin a message; ``address`` is the reverse-path, empty for failure reports, ``size`` in octets.

    ``ret`` (FULL, HDRS) and ``envid`` are for servers that offer DSN (RFC 3461).
    """

    verb: ClassVar[str] = "MAIL FROM"
    address: str
    size: int | None = None
    eight_bit: bool = False
    utf8: bool = False
    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class RcptTo:
    """Name one recipient; ``notify`` and ``orcpt`` (``type;address``) are for servers that offer DSN (RFC 3461)."""

    verb: ClassVar[str] = "RCPT TO"
    address: str
    notify: tuple[str, ...] = ()
    orcpt: str = ""


@dataclass(frozen=True, slots=True)
class Data:
    """Ask to send the message; after the answer 354 comes ``body``, then EndOfData."""

    verb: ClassVar[str] = "DATA"


@dataclass(frozen=True, slots=True)
class EndOfData:
    """End the message: the bytes are its last line end, if missing, and the final dot."""

    verb: ClassVar[str] = "end of DATA"


@dataclass(frozen=True, slots=True)
class Rset:
    """Forget the message begun."""

    verb: ClassVar[str] = "RSET"


@dataclass(frozen=True, slots=True)
class Noop:
    """Ask for an answer, nothing else."""

    verb: ClassVar[str] = "NOOP"


@dataclass(frozen=True, slots=True)
class Quit:
    """End the session."""

    verb: ClassVar[str] = "QUIT"


Command = (
    Ehlo
    | Helo
    | StartTls
    | Auth
    | AuthResponse
    | AuthCancel
    | MailFrom
    | RcptTo
    | Data
    | EndOfData
    | Rset
    | Noop
    | Quit
)

_PLAIN = frozenset((MailFrom, RcptTo, EndOfData, Rset))  # what they are answered changes no phase
_SIGN_IN = (Auth, AuthResponse)
_OUT_OF_READY = (AuthResponse, AuthCancel, EndOfData)
_LAST_OF_GROUP = (Ehlo, Helo, StartTls, Auth, AuthResponse, AuthCancel, Data, Noop, Quit)  # RFC 2920 section 3.1


@dataclass(frozen=True, slots=True)
class Greeting:
    """The server's first words; only a 2xx ``reply`` invites to go on."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Answer:
    """The final answer to ``command``; answers come in the order of the commands."""

    command: Command
    reply: Reply


@dataclass(frozen=True, slots=True)
class Challenge:
    """The server waits for AuthResponse or AuthCancel; ``data`` is without base64."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Farewell:
    """The server closes the connection (421) and nothing was asked."""

    reply: Reply


Event = Greeting | Answer | Challenge | Farewell


class _Phase(Enum):
    GREETING = auto()
    READY = auto()
    CHALLENGED = auto()
    BODY = auto()
    OVER = auto()


class SmtpClient:
    """One connection to a server; make a new one after STARTTLS, with ``greeting=False``."""

    def __init__(self, *, greeting: bool = True) -> None:
        self._lines = LineBuffer(REPLY_LINE_MAX)
        self._reader = ReplyReader()
        self._awaited: deque[Command] = deque()
        self._phase = _Phase.GREETING if greeting else _Phase.READY
        self._stuffer = DotStuffer()
        self._utf8 = False
        self._ended = False
        self._fault: MailbearerError | None = None

    @property
    def leftover(self) -> bool:
        """Bytes wait that belong to no reply: after STARTTLS somebody put them in, and TLS must not begin."""
        return self._phase is _Phase.OVER and len(self._lines) > 0

    def receive(self, data: bytes) -> None:
        """Take bytes of the server, in pieces of any size.

        Raises:
            LimitExceededError: they pile up because ``next_event`` is not called.
        """
        self._lines.feed(data)

    def end_of_input(self) -> None:
        """Note that the server will send nothing more."""
        self._ended = True

    def next_event(self) -> Event | None:
        """Return the next event, or None until more bytes come.

        Raises:
            RemoteProtocolError: the server does not speak SMTP; with MB-S05 when it never did.
            ConnectionLostError: the input ended while an answer was awaited; with MB-S35 when it was the answer to a
                whole message, of which nobody knows whether it was taken.
        """
        if self._fault is not None:
            raise self._fault
        try:
            return self._next_event()
        except (RemoteProtocolError, ConnectionLostError) as fault:
            self._fault = fault
            raise

    def send(self, command: Command) -> bytes:
        """Return the bytes of ``command``, which must be written in the order of the calls.

        Raises:
            LocalProtocolError: it is not the time for it, or an argument cannot be.
            InvalidInputError: an address is none (MB-W22).
        """
        self._check_time(command)
        wire = self._encode(command)
        match command:
            case AuthResponse() | AuthCancel() | EndOfData():
                self._phase = _Phase.READY
            case MailFrom():
                self._utf8 = command.utf8
            case _:
                pass
        self._awaited.append(command)
        return wire

    def body(self, chunk: bytes) -> bytes:
        """Return the bytes of a piece of the message, dots doubled and line ends made CR LF.

        Raises:
            LocalProtocolError: the server has not asked for the message.
            InvalidInputError: it contains NUL; the message cannot be ended now, only the connection.
        """
        if self._phase is not _Phase.BODY:
            raise LocalProtocolError(detail="a message body without the answer 354")
        return self._stuffer.feed(chunk)

    def _next_event(self) -> Event | None:
        while self._phase is not _Phase.OVER:
            self._lines.limit = CHALLENGE_LINE_MAX if self._may_be_challenged() else REPLY_LINE_MAX
            line = self._lines.next_line()
            if line is None:
                break
            reply = self._read(line)
            if reply is not None:
                return self._event(reply)
        if self._ended and self._phase is not _Phase.OVER:
            self._check_end()
        return None

    def _may_be_challenged(self) -> bool:
        return bool(self._awaited) and isinstance(self._awaited[0], _SIGN_IN)

    def _read(self, line: bytes) -> Reply | None:
        try:
            return self._reader.take(line)
        except RemoteProtocolError:
            if self._phase is _Phase.GREETING:
                raise RemoteProtocolError("MB-S05", greeting=excerpt(line)) from None
            raise

    def _check_end(self) -> None:
        if any(isinstance(command, EndOfData) for command in self._awaited):
            raise ConnectionLostError("MB-S35")
        if self._awaited:
            raise ConnectionLostError("MB-S32", when=f"before the answer to {self._awaited[0].verb}")
        if self._phase is _Phase.GREETING:
            raise ConnectionLostError("MB-S32", when="before the greeting")
        if self._phase is _Phase.BODY:
            raise ConnectionLostError("MB-S32", when="while the message was sent")

    def _event(self, reply: Reply) -> Event:
        if self._phase is _Phase.GREETING and 300 <= reply.code < 400:
            raise RemoteProtocolError("MB-S05", greeting=str(reply))
        if self._phase is _Phase.GREETING:
            self._phase = _Phase.READY
            return Greeting(reply)
        if not self._awaited:
            if reply.code != 421:
                raise RemoteProtocolError("MB-S30", problem="a reply to nothing", detail=str(reply))
            self._phase = _Phase.OVER
            return Farewell(reply)
        return self._answer(self._awaited.popleft(), reply)

    def _answer(self, command: Command, reply: Reply) -> Event:
        if type(command) in _PLAIN and not 300 <= reply.code < 400:
            return Answer(command, reply)
        match command:
            case Auth() | AuthResponse() if reply.code == 334:
                self._phase = _Phase.CHALLENGED
                return Challenge(_challenge(reply))
            case Data() if reply.code == 354:
                self._phase = _Phase.BODY
                self._stuffer = DotStuffer()
            case Data() if reply.positive:
                raise _misplaced(command, reply)
            case StartTls() if reply.positive:
                self._phase = _Phase.OVER
            case Quit():
                self._phase = _Phase.OVER
            case _:
                pass
        if 300 <= reply.code < 400 and self._phase is not _Phase.BODY:
            raise _misplaced(command, reply)
        return Answer(command, reply)

    def _check_time(self, command: Command) -> None:
        match self._phase:
            case _Phase.READY:
                held = bool(self._awaited) and isinstance(self._awaited[-1], _LAST_OF_GROUP)
                allowed = not held and not isinstance(command, _OUT_OF_READY)
            case _Phase.CHALLENGED:
                allowed = isinstance(command, AuthResponse | AuthCancel)
            case _Phase.BODY:
                allowed = isinstance(command, EndOfData)
            case _Phase.GREETING | _Phase.OVER:
                allowed = False
            case _:
                assert_never(self._phase)
        if not allowed or self._fault is not None:
            raise LocalProtocolError(detail=f"{command.verb} cannot be sent now")

    def _encode(self, command: Command) -> bytes:
        match command:
            case AuthResponse(data):
                return coding.encode(data) + b"\r\n"
            case AuthCancel():
                return b"*\r\n"
            case EndOfData():
                return self._stuffer.finish()
            case _:
                return f"{command.verb}{self._arguments(command)}\r\n".encode()

    def _arguments(self, command: Command) -> str:
        match command:
            case Ehlo(name) | Helo(name):
                return f" {_checked(name, _WORD)}"
            case Auth(mechanism):
                return f" {_checked(mechanism, _MECHANISM)}"
            case MailFrom():
                return _mail_arguments(command)
            case RcptTo():
                return _rcpt_arguments(command, utf8=self._utf8)
            case _:
                return ""


def _mail_arguments(command: MailFrom) -> str:
    address = _checked_address(command.address, utf8=command.utf8) if command.address else ""
    if command.size is not None and command.size < 0:
        raise LocalProtocolError(detail="a negative message size")
    size = "" if command.size is None else f" SIZE={command.size}"
    body = " BODY=8BITMIME" if command.eight_bit else ""
    utf8 = " SMTPUTF8" if command.utf8 else ""
    ret = f" RET={_checked(command.ret, _DSN_WORD)}" if command.ret else ""
    envid = f" ENVID={_xtext(command.envid)}" if command.envid else ""
    return f":<{address}>{size}{body}{utf8}{ret}{envid}"


def _rcpt_arguments(command: RcptTo, *, utf8: bool) -> str:
    address = _checked_address(command.address, utf8=utf8)
    if not command.notify and not command.orcpt:
        return f":<{address}>"
    notify = ",".join(_checked(word, _DSN_WORD) for word in command.notify)
    kind, _, original = command.orcpt.partition(";")
    orcpt = f" ORCPT={_checked(kind, _KIND)};{_xtext(original)}" if command.orcpt else ""
    return f":<{address}>{f' NOTIFY={notify}' if notify else ''}{orcpt}"


def _xtext(text: str) -> str:
    """Return ``text`` in the coding of RFC 3461 section 4."""
    if not text.isascii() or not text.isprintable():
        raise LocalProtocolError(detail=f"{text[:80]!r} cannot be an argument")
    return "".join(char if "!" <= char <= "~" and char not in "+=" else f"+{ord(char):02X}" for char in text)


def _checked(word: str, grammar: re.Pattern[str]) -> str:
    if grammar.fullmatch(word) is None:
        raise LocalProtocolError(detail=f"{word[:80]!r} cannot be an argument")
    return word


def _checked_address(address: str, *, utf8: bool) -> str:
    """Return ``address``; one beyond ASCII only where SMTPUTF8 was said with MAIL (RFC 6531 section 3.4)."""
    if not is_address(address) or not is_plain(address):
        raise InvalidInputError("MB-W22", address=address[:320])
    if not utf8 and not address.isascii():
        raise LocalProtocolError(detail="an address beyond ASCII without SMTPUTF8")
    return address


def _challenge(reply: Reply) -> bytes:
    data = coding.decode(reply.lines[0].encode()) if len(reply.lines) == 1 else None
    if data is None:
        raise RemoteProtocolError("MB-S30", problem="a challenge is not base64", detail=str(reply)[:200])
    return data


def _misplaced(command: Command, reply: Reply) -> RemoteProtocolError:
    return RemoteProtocolError("MB-S30", problem=f"{reply.code} is no answer to {command.verb}", detail=str(reply))
