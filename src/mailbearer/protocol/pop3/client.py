"""The client's side of POP3 (RFC 1939, 2449 CAPA, 2595 STLS, 5034 AUTH).

Bytes from the server go into ``receive``, events come out of ``next_event``, and ``send`` turns a command into bytes;
one command at a time. The phases, and what is expected in each:

    GREETING    the server speaks first (after STLS it does not, so no core is made with this phase)
    READY       nothing: a command may be sent
    ASKED       the answer to the command, +OK or -ERR, or a challenge
    CHALLENGED  nothing: AuthResponse or AuthCancel may be sent
    LINES       the lines of CAPA, LIST or UIDL, until the single dot
    BODY        the message of RETR or TOP, until the single dot
    OVER        nothing: TLS begins and needs a new core, or the session has ended

The server's fault raises RemoteProtocolError or, for a lost connection, ConnectionLostError, each time it is asked
again; neither knows the host, whoever owns the connection adds it.
"""

import re
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import ClassVar, Final

from mailbearer.errors import (
    ConnectionLostError,
    InvalidInputError,
    LocalProtocolError,
    MailbearerError,
    RemoteProtocolError,
)
from mailbearer.model.secret import Secret
from mailbearer.protocol.dots import DotUnstuffer
from mailbearer.protocol.lines import LineBuffer, excerpt, is_plain
from mailbearer.protocol.sasl import coding

LINE_MAX: Final = 8192
"""Octets of an answer's line. RFC 2449 section 4 says 512; servers in the field exceed it."""

CHALLENGE_LINE_MAX: Final = 65_536
"""Octets of a line that may be a SASL challenge."""

_STATUS = re.compile(rb"(\+OK|-ERR)(?:[ \t]+(.*))?", re.DOTALL)
_CHALLENGE = re.compile(rb"\+(?: *([A-Za-z0-9+/=]*))? *")
_MECHANISM = re.compile(r"[A-Z0-9_-]{1,20}")  # RFC 4422 section 3.1


@dataclass(frozen=True, slots=True)
class Capa:
    """Ask what the server can do; answered by ``Line`` events."""

    verb: ClassVar[str] = "CAPA"


@dataclass(frozen=True, slots=True)
class Stls:
    """Ask for TLS. After the positive answer this core is over: a new connection state needs a new core."""

    verb: ClassVar[str] = "STLS"


@dataclass(frozen=True, slots=True)
class Auth:
    """Begin a sign-in, always without the initial response: tokens do not fit a command line (RFC 5034 section 4)."""

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
class User:
    """Give the user name."""

    verb: ClassVar[str] = "USER"
    name: str


@dataclass(frozen=True, slots=True)
class Pass:
    """Give the password."""

    verb: ClassVar[str] = "PASS"
    secret: Secret


@dataclass(frozen=True, slots=True)
class Stat:
    """Ask how many messages there are; ``responses.parse_stat`` reads the answer's text."""

    verb: ClassVar[str] = "STAT"


@dataclass(frozen=True, slots=True)
class Uidl:
    """Ask for all unique-ids; answered by ``Line`` events, which ``responses.parse_uidl`` reads."""

    verb: ClassVar[str] = "UIDL"


@dataclass(frozen=True, slots=True)
class List:
    """Ask for all sizes; answered by ``Line`` events, which ``responses.parse_list`` reads."""

    verb: ClassVar[str] = "LIST"


@dataclass(frozen=True, slots=True)
class Retr:
    """Ask for a message; answered by ``Body`` events."""

    verb: ClassVar[str] = "RETR"
    number: int


@dataclass(frozen=True, slots=True)
class Top:
    """Ask for a message's header and its first ``lines``; answered by ``Body`` events."""

    verb: ClassVar[str] = "TOP"
    number: int
    lines: int


@dataclass(frozen=True, slots=True)
class Dele:
    """Mark a message as deleted; it is when Quit is answered positively."""

    verb: ClassVar[str] = "DELE"
    number: int


@dataclass(frozen=True, slots=True)
class Rset:
    """Take all deletion marks back."""

    verb: ClassVar[str] = "RSET"


@dataclass(frozen=True, slots=True)
class Noop:
    """Ask for an answer, nothing else."""

    verb: ClassVar[str] = "NOOP"


@dataclass(frozen=True, slots=True)
class Quit:
    """End the session and delete what is marked."""

    verb: ClassVar[str] = "QUIT"


Command = (
    Capa
    | Stls
    | Auth
    | AuthResponse
    | AuthCancel
    | User
    | Pass
    | Stat
    | Uidl
    | List
    | Retr
    | Top
    | Dele
    | Rset
    | Noop
    | Quit
)


@dataclass(frozen=True, slots=True)
class Greeting:
    """The server is ready; ``text`` is without ``+OK``."""

    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to ``command``; ``text`` is without ``+OK`` or ``-ERR``, its response code included."""

    command: Command
    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """The server waits for AuthResponse or AuthCancel; ``data`` is without base64."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the answer to Capa, List or Uidl, without its end."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """A piece of the message that Retr or Top asked for; all pieces together are the message, line ends as sent."""

    chunk: bytes


@dataclass(frozen=True, slots=True)
class End:
    """All lines or pieces that belong to the answer to ``command`` have come."""

    command: Command


Event = Greeting | Answer | Challenge | Line | Body | End


class _Phase(Enum):
    GREETING = auto()
    READY = auto()
    ASKED = auto()
    CHALLENGED = auto()
    LINES = auto()
    BODY = auto()
    OVER = auto()


class Pop3Client:
    """One connection to a server; make a new one after STLS, with ``greeting=False``."""

    def __init__(self, *, greeting: bool = True) -> None:
        self._lines = LineBuffer(LINE_MAX, letter="P")
        self._unstuffer = DotUnstuffer()
        self._phase = _Phase.GREETING if greeting else _Phase.READY
        self._command: Command = Noop()
        self._ended = False
        self._fault: MailbearerError | None = None

    @property
    def leftover(self) -> bool:
        """Bytes wait that belong to no answer: after STLS somebody put them in, and TLS must not begin."""
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
            RemoteProtocolError: the server does not speak POP3; with MB-P05 when it never did.
            ConnectionLostError: the input ended while something was awaited.
        """
        if self._fault is not None:
            raise self._fault
        try:
            event = self._next_event()
            if event is None and self._ended:
                self._check_end()
        except (RemoteProtocolError, ConnectionLostError) as fault:
            self._fault = fault
            raise
        return event

    def send(self, command: Command) -> bytes:
        """Return the bytes of ``command``.

        Raises:
            LocalProtocolError: another command is not done, or it is not the time for it, or an argument cannot be.
            InvalidInputError: the user name or password cannot be sent (MB-W05).
        """
        answers = isinstance(command, AuthResponse | AuthCancel)
        time = _Phase.CHALLENGED if answers else _Phase.READY
        if self._phase is not time or self._fault is not None:
            raise LocalProtocolError(detail=f"{command.verb} cannot be sent now")
        wire = _encode(command)
        self._command = command
        self._phase = _Phase.ASKED
        return wire

    def _next_event(self) -> Event | None:
        if self._phase is _Phase.OVER:
            return None
        if self._phase is _Phase.BODY:
            return self._next_of_body()
        challenged = self._phase is _Phase.ASKED and isinstance(self._command, Auth | AuthResponse)
        self._lines.limit = CHALLENGE_LINE_MAX if challenged else LINE_MAX
        line = self._lines.next_line()
        if line is None:
            return None
        match self._phase:
            case _Phase.GREETING:
                return self._greeting(line)
            case _Phase.ASKED:
                return self._answer(line)
            case _Phase.LINES:
                return self._line(line)
            case _:
                raise RemoteProtocolError("MB-P30", problem="an answer to nothing", detail=excerpt(line))

    def _next_of_body(self) -> Event | None:
        if self._unstuffer.done:
            self._lines.feed(self._unstuffer.rest)
            self._phase = _Phase.READY
            return End(self._command)
        waiting = self._lines.take()
        chunk = self._unstuffer.feed(waiting) if waiting else b""
        if chunk:
            return Body(chunk)
        return self._next_of_body() if self._unstuffer.done else None

    def _greeting(self, line: bytes) -> Event:
        match = _STATUS.fullmatch(line)
        if match is None or match[1] != b"+OK":
            raise RemoteProtocolError("MB-P05", greeting=excerpt(line))
        self._phase = _Phase.READY
        return Greeting(_text(match))

    def _answer(self, line: bytes) -> Event:
        match = _STATUS.fullmatch(line)
        if match is None:
            return self._challenge(line)
        ok = match[1] == b"+OK"
        self._phase = self._phase_after(ok=ok)
        return Answer(self._command, ok, _text(match))

    def _phase_after(self, *, ok: bool) -> _Phase:
        match self._command:
            case Capa() | Uidl() | List() if ok:
                return _Phase.LINES
            case Retr() | Top() if ok:
                self._unstuffer = DotUnstuffer()
                return _Phase.BODY
            case Stls() if ok:
                return _Phase.OVER
            case Quit():
                return _Phase.OVER
            case _:
                return _Phase.READY

    def _challenge(self, line: bytes) -> Event:
        match = _CHALLENGE.fullmatch(line)
        data = coding.decode(match[1] or b"") if match else None
        if data is None or not isinstance(self._command, Auth | AuthResponse):
            problem = f"neither +OK nor -ERR answers {self._command.verb}"
            raise RemoteProtocolError("MB-P30", problem=problem, detail=excerpt(line))
        self._phase = _Phase.CHALLENGED
        return Challenge(data)

    def _line(self, line: bytes) -> Event:
        if line == b".":
            self._phase = _Phase.READY
            return End(self._command)
        return Line(line.removeprefix(b"."))

    def _check_end(self) -> None:
        match self._phase:
            case _Phase.GREETING:
                raise ConnectionLostError("MB-P32", when="before the greeting")
            case _Phase.ASKED:
                raise ConnectionLostError("MB-P32", when=f"before the answer to {self._command.verb}")
            case _Phase.LINES | _Phase.BODY:
                raise ConnectionLostError("MB-P32", when=f"in the answer to {self._command.verb}")
            case _:
                pass


def _encode(command: Command) -> bytes:
    match command:
        case AuthResponse(data):
            return coding.encode(data) + b"\r\n"
        case AuthCancel():
            return b"*\r\n"
        case _:
            return f"{command.verb}{_arguments(command)}\r\n".encode()


def _arguments(command: Command) -> str:
    match command:
        case Auth(mechanism):
            return f" {_checked_mechanism(mechanism)}"
        case User(name):
            return f" {_checked(name, 'User name')}"
        case Pass(secret):
            return f" {_checked(secret.reveal(), 'Password')}"
        case Top(number, lines):
            return f" {_positive(number)} {_not_negative(lines)}"
        case Retr(number) | Dele(number):
            return f" {_positive(number)}"
        case _:
            return ""


def _checked_mechanism(name: str) -> str:
    if _MECHANISM.fullmatch(name) is None:
        raise LocalProtocolError(detail=f"{name[:80]!r} is no mechanism")
    return name


def _checked(text: str, field_name: str) -> str:
    if not text or not is_plain(text):
        raise InvalidInputError("MB-W05", field=field_name, problem="it is empty or contains a control character")
    return text


def _positive(number: int) -> int:
    return _not_negative(number - 1) + 1


def _not_negative(number: int) -> int:
    if number < 0:
        raise LocalProtocolError(detail="message numbers begin at 1, lines at 0")
    return number


def _text(match: re.Match[bytes]) -> str:
    return (match[2] or b"").decode(errors="replace")
