"""The server's side of POP3 (RFC 1939, 2449 CAPA, 2595 STLS, 5034 AUTH).

Bytes from the client go into ``receive``, events come out of ``next_event``, and ``send`` turns what the owner decides
into bytes. The core holds the order of things, the owner the mailbox. Every event is owed exactly one answer, and
nothing else happens before it is given. The phases:

    GREETING    the owner speaks first (after STLS it does not, so no core is made with this phase)
    COMMANDS    the client gives commands; before the sign-in only those that lead to one
    CHALLENGED  the client's next line is the response to a challenge
    BODY        the owner gives the message with ``body`` and ``end_of_body``
    OVER        nothing: TLS begins and needs a new core, or the connection is to be closed
"""

import re
from enum import Enum, auto
from typing import Final, assert_never

from mailbearer.errors import LimitExceededError, LocalProtocolError, RemoteProtocolError
from mailbearer.model.secret import Secret
from mailbearer.protocol.dots import DotStuffer
from mailbearer.protocol.lines import LineBuffer, without_controls
from mailbearer.protocol.pop3.server_events import (
    AuthAsked,
    AuthCancelled,
    AuthGiven,
    Bad,
    CapaAsked,
    Challenge,
    DeleAsked,
    Err,
    Event,
    ListAsked,
    NoopAsked,
    Ok,
    PassGiven,
    QuitAsked,
    RetrAsked,
    RsetAsked,
    StatAsked,
    StlsAsked,
    TopAsked,
    UidlAsked,
    UserGiven,
)
from mailbearer.protocol.sasl import coding

COMMAND_MAX: Final = 2_048
"""Octets of a command line. RFC 2449 section 4 says 255; passwords may be longer."""

AUTH_LINE_MAX: Final = 65_536
"""Octets of a line that carries a SASL response."""

MISTAKES_MAX: Final = 10
"""Commands that cannot be, after which the connection is closed."""

_COMMAND = re.compile(rb"([A-Za-z]{3,4})(?: (.*))?", re.DOTALL)
_NUMBER = re.compile(rb"([1-9][0-9]{0,8})")
_TOP = re.compile(rb"([1-9][0-9]{0,8}) +([0-9]{1,9})")
_TEXT = re.compile(rb"[^\x00-\x1f\x7f]+")


class _Phase(Enum):
    GREETING = auto()
    COMMANDS = auto()
    CHALLENGED = auto()
    BODY = auto()
    OVER = auto()


_UNKNOWN: Final = Err("No such command")
_NOT_NOW: Final = Err("Not now")
_ARGUMENTS: Final = Err("The arguments cannot be understood")
_SIGN_IN = frozenset({b"USER", b"PASS", b"AUTH", b"STLS"})
_ANY_TIME = frozenset({b"CAPA", b"QUIT"})
_SIGNED_IN = frozenset({b"STAT", b"LIST", b"UIDL", b"RETR", b"TOP", b"DELE", b"RSET", b"NOOP"})


class Pop3Server:
    """One connection of a client; make a new one after STLS, with ``greeting=False``."""

    def __init__(self, *, greeting: bool = True) -> None:
        self._lines = LineBuffer(AUTH_LINE_MAX, letter="P")
        self._phase = _Phase.GREETING if greeting else _Phase.COMMANDS
        self._owed: Event | None = None
        self._ended = False
        self._to_tls = False
        self._user_given = False
        self._signed_in = False
        self._stuffer = DotStuffer()
        self._mistakes = 0

    @property
    def over(self) -> bool:
        """Nothing more can be read or said: go on with TLS if that was asked, else close."""
        return self._phase is _Phase.OVER

    @property
    def signed_in(self) -> bool:
        """A sign-in was answered with +OK; QUIT now deletes what is marked."""
        return self._signed_in

    def receive(self, data: bytes) -> None:
        """Take bytes of the client, in pieces of any size; after the end they are ignored.

        Raises:
            LimitExceededError: they pile up because ``next_event`` or ``send`` is not called.
            RemoteProtocolError: they come in clear after TLS was agreed.
        """
        if self._to_tls:
            raise _sent_before_tls()
        if self._phase is not _Phase.OVER:
            self._lines.feed(data)

    def end_of_input(self) -> None:
        """Note that the client will send nothing more: what is incomplete never becomes an event."""
        self._ended = True

    def next_event(self) -> Event | None:
        """Return the next event, or None until more bytes come or the answer that is owed is given."""
        if self._owed is not None or self._phase not in {_Phase.COMMANDS, _Phase.CHALLENGED}:
            return None
        event = self._next_of_lines()
        if event is None and self._ended:
            self._phase = _Phase.OVER
        self._owed = event
        return event

    def send(self, answer: Ok | Err | Challenge) -> bytes:
        """Return the bytes of what is owed: the greeting, the answer to the last event, or a challenge.

        Raises:
            LocalProtocolError: nothing is owed, or not this.
            RemoteProtocolError: the client sent more behind STLS, in clear; close.
        """
        match answer:
            case Challenge(data):
                return self._challenge(data)
            case Err(text):
                self._settle(ok=False)
                return b"-ERR " + _written(text)
            case Ok(text, lines):
                several = isinstance(self._owed, CapaAsked | ListAsked | UidlAsked) and _is_all(self._owed)
                if lines and not several:
                    raise LocalProtocolError(detail="lines in an answer of one line")
                self._settle(ok=True)
                return b"+OK " + _written(text) + (_written_lines(lines) if several else b"")
            case _:
                assert_never(answer)

    def body(self, chunk: bytes) -> bytes:
        """Return the bytes of a piece of the message, dots doubled and line ends made CR LF.

        Raises:
            LocalProtocolError: no message was asked for, or it was not granted.
            InvalidInputError: it contains NUL.
        """
        self._check_body()
        return self._stuffer.feed(chunk)

    def end_of_body(self) -> bytes:
        """Return the bytes that end the message.

        Raises:
            LocalProtocolError: no message was asked for, or it was not granted.
        """
        self._check_body()
        self._phase = _Phase.COMMANDS
        return self._stuffer.finish()

    def _check_body(self) -> None:
        if self._phase is not _Phase.BODY:
            raise LocalProtocolError(detail="a message outside of RETR and TOP")

    def _challenge(self, data: bytes) -> bytes:
        if not isinstance(self._owed, AuthAsked | AuthGiven):
            raise LocalProtocolError(detail="a challenge outside of a sign-in")
        self._owed = None
        self._phase = _Phase.CHALLENGED
        return b"+ " + coding.encode(data) + b"\r\n"

    def _settle(self, *, ok: bool) -> None:
        """Do what the answer means for the session."""
        if self._phase is _Phase.GREETING:
            self._phase = _Phase.COMMANDS if ok else _Phase.OVER
            return
        event, self._owed = self._owed, None
        self._user_given = isinstance(event, UserGiven) and ok
        match event:
            case None:
                raise LocalProtocolError(detail="an answer to nothing")
            case AuthAsked() | AuthGiven() | PassGiven():
                self._phase = _Phase.COMMANDS
                self._signed_in = ok
            case AuthCancelled():
                self._phase = _Phase.COMMANDS
            case RetrAsked() | TopAsked() if ok:
                self._phase = _Phase.BODY
                self._stuffer = DotStuffer()
            case QuitAsked() | StlsAsked() | Bad():
                self._settle_end(event, ok=ok)
            case _:
                pass

    def _settle_end(self, event: QuitAsked | StlsAsked | Bad, *, ok: bool) -> None:
        self._to_tls = isinstance(event, StlsAsked) and ok
        over = isinstance(event, QuitAsked) or self._to_tls or (isinstance(event, Bad) and event.fatal)
        self._phase = _Phase.OVER if over else _Phase.COMMANDS
        if self._to_tls and len(self._lines) > 0:
            raise _sent_before_tls()

    def _next_of_lines(self) -> Event | None:
        try:
            line = self._lines.next_line()
        except LimitExceededError:
            return Bad(Err("Line too long"), fatal=True)
        except RemoteProtocolError:
            return Bad(Err("Lines end with CR LF"), fatal=True)
        if line is None:
            return None
        found = self._response(line) if self._phase is _Phase.CHALLENGED else self._command(line)
        if not isinstance(found, Err):
            return found
        self._mistakes += 1
        return Bad(found, fatal=self._mistakes >= MISTAKES_MAX)

    def _response(self, line: bytes) -> Event | Err:
        if line == b"*":
            return AuthCancelled()
        data = coding.decode(line)
        return Err("That is not base64") if data is None else AuthGiven(data)

    def _command(self, line: bytes) -> Event | Err:
        match = _COMMAND.fullmatch(line)
        verb = match[1].upper() if match else b""
        if match is None or verb not in _SIGN_IN | _SIGNED_IN | _ANY_TIME:
            return _UNKNOWN
        if verb in (_SIGN_IN if self._signed_in else _SIGNED_IN):
            return _NOT_NOW
        argument = match[2] or b""
        if verb == b"AUTH":
            arguments = coding.read_arguments(argument.strip(b" "))
            return AuthAsked(arguments.mechanism, arguments.initial) if arguments else _ARGUMENTS
        if len(line) > COMMAND_MAX:
            return Err("Line too long")
        return self._sign_in(verb, argument) if verb in {b"USER", b"PASS"} else _ordinary(verb, argument.strip(b" "))

    def _sign_in(self, verb: bytes, argument: bytes) -> Event | Err:
        if not _TEXT.fullmatch(argument):
            return _ARGUMENTS
        text = argument.decode(errors="replace")
        if verb == b"USER":
            return UserGiven(text.strip(" "))
        return PassGiven(Secret(text)) if self._user_given else _NOT_NOW


_BARE: dict[bytes, Event] = {
    b"CAPA": CapaAsked(),
    b"STLS": StlsAsked(),
    b"STAT": StatAsked(),
    b"LIST": ListAsked(None),
    b"UIDL": UidlAsked(None),
    b"RSET": RsetAsked(),
    b"NOOP": NoopAsked(),
    b"QUIT": QuitAsked(),
}


def _ordinary(verb: bytes, argument: bytes) -> Event | Err:
    if not argument:
        return _BARE.get(verb, _ARGUMENTS)
    top = _TOP.fullmatch(argument)
    if verb == b"TOP" and top is not None:
        return TopAsked(int(top[1]), int(top[2]))
    number = _NUMBER.fullmatch(argument)
    return _ARGUMENTS if number is None else _numbered(verb, int(number[1]))


def _numbered(verb: bytes, number: int) -> Event | Err:
    match verb:
        case b"LIST":
            return ListAsked(number)
        case b"UIDL":
            return UidlAsked(number)
        case b"RETR":
            return RetrAsked(number)
        case b"DELE":
            return DeleAsked(number)
        case _:
            return _ARGUMENTS


def _is_all(event: CapaAsked | ListAsked | UidlAsked) -> bool:
    return isinstance(event, CapaAsked) or event.number is None


def _written(text: str) -> bytes:
    return without_controls(text).encode() + b"\r\n"


def _written_lines(lines: tuple[bytes, ...]) -> bytes:
    stuffer = DotStuffer()
    return stuffer.feed(b"".join(line + b"\r\n" for line in lines)) + stuffer.finish()


def top_of(message: bytes, lines: int) -> bytes:
    """Return what TOP gives of a ``message`` with CR LF line ends: header, empty line and so many lines of the body."""
    header, gap, body = message.partition(b"\r\n\r\n")
    return header + gap + b"".join(body.splitlines(keepends=True)[:lines])


def _sent_before_tls() -> RemoteProtocolError:
    return RemoteProtocolError("MB-P30", problem="it sent commands in clear behind STLS")
