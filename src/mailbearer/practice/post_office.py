"""POP3 (RFC 1939) for the practice mailboxes, over STLS or TLS, with a token and with nothing else."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from mailbearer.practice.bearer import MECHANISMS, Admitted
from mailbearer.practice.connection import Connection
from mailbearer.practice.faults import Fault
from mailbearer.practice.mail_room import MailRoom
from mailbearer.practice.mailboxes import Stored
from mailbearer.protocol.pop3.server import Pop3Server
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

Answer = Ok | Err | Challenge

_PLACES: Final[Mapping[type[Event], str]] = {
    CapaAsked: "pop3/capa",
    StlsAsked: "pop3/stls",
    StatAsked: "pop3/stat",
    ListAsked: "pop3/list",
    UidlAsked: "pop3/uidl",
    RetrAsked: "pop3/retr",
    TopAsked: "pop3/top",
    DeleAsked: "pop3/dele",
    QuitAsked: "pop3/quit",
}
_CAPABILITIES: Final = (b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING")
_NO_MESSAGE: Final = Err("There is no such message")
_REFUSED: Final = Err("[AUTH] Authentication failed")


class PostOffice:
    """One connection of a client, from greeting to end."""

    def __init__(self, room: MailRoom, connection: Connection, *, sealed: bool) -> None:
        self._room = room
        self._connection = connection
        self._sealed = sealed
        self._core = Pop3Server()
        self._mechanism = ""
        self._turned_away = False
        self._messages: tuple[Stored, ...] = ()
        self._deleted: set[int] = set()

    async def run(self) -> None:
        """Serve the client until it goes."""
        fault = await self._room.fault("pop3/connect", self._connection)
        await self._connection.write(self._core.send(_spoiled(fault) if fault.spoils else Ok("Mailbearer practice")))
        while not self._core.over:
            event = self._core.next_event()
            if event is not None:
                await self._answer(event)
                continue
            data = await self._connection.read()
            if not data:
                return
            self._core.receive(data)

    async def _answer(self, event: Event) -> None:
        place = self._place(event)
        fault = await self._room.fault(place, self._connection) if place else Fault()
        answer = self._decide(event) if fault.lets_happen else _spoiled(fault)
        if fault.spoils and not fault.drop:
            answer = _spoiled(fault)
        data = self._core.send(answer)
        if isinstance(event, StlsAsked) and self._core.over:
            await self._start_tls(data)
        elif isinstance(event, RetrAsked | TopAsked) and isinstance(answer, Ok):
            await self._connection.write(data)
            await self._send_message(event, cut=fault.drop)
        elif not fault.drop:
            await self._connection.write(data)
        if fault.drop:
            self._room.hang_up(place, self._connection)

    async def _start_tls(self, ready: bytes) -> None:
        await self._connection.start_tls(ready, self._room.context)
        self._sealed = True
        self._core = Pop3Server(greeting=False)

    async def _send_message(self, event: RetrAsked | TopAsked, *, cut: bool) -> None:
        """Send the message; with ``cut`` leave out its end."""
        message = self._messages[event.number - 1]
        chunks = message.chunks() if isinstance(event, RetrAsked) else message.top(event.lines)
        for chunk in chunks:
            await self._connection.write(self._core.body(chunk))
        if not cut:
            await self._connection.write(self._core.end_of_body())

    def _place(self, event: Event) -> str:
        match event:
            case AuthAsked(initial=bytes()):
                return "pop3/auth"
            case AuthGiven() if not self._turned_away:
                return "pop3/auth"
            case _:
                return _PLACES.get(type(event), "")

    def _decide(self, event: Event) -> Answer:
        match event:
            case CapaAsked():
                last = f"SASL {' '.join(MECHANISMS)}" if self._sealed else "STLS"
                return Ok("This is what there is", (*_CAPABILITIES, last.encode()))
            case StlsAsked():
                return Err("TLS is here already") if self._sealed else Ok("Ready to start TLS")
            case AuthAsked() | AuthGiven() | AuthCancelled() | UserGiven() | PassGiven():
                return self._sign_in(event)
            case StatAsked() | ListAsked() | UidlAsked():
                return self._tell(event)
            case RetrAsked() | TopAsked() | DeleAsked() | RsetAsked() | QuitAsked() | NoopAsked():
                return self._act(event)
            case Bad(answer=answer):
                return answer

    def _sign_in(self, event: AuthAsked | AuthGiven | AuthCancelled | UserGiven | PassGiven) -> Answer:
        match event:
            case AuthAsked(mechanism=mechanism, initial=initial):
                self._mechanism, self._turned_away = mechanism, False
                if not self._sealed:
                    return Err("[AUTH] Use STLS first")
                if mechanism not in MECHANISMS:
                    return Err(f"[AUTH] The mechanisms here are {' '.join(MECHANISMS)}")
                return Challenge(b"") if initial is None else self._admit(initial)
            case AuthGiven(data=data):
                return _REFUSED if self._turned_away else self._admit(data)
            case AuthCancelled():
                return Err("Authentication cancelled")
            case UserGiven() | PassGiven():
                return Err("[AUTH] Passwords are not taken here, sign in with OAuth 2.0")

    def _admit(self, response: bytes) -> Answer:
        match self._room.gate.admit(self._mechanism, response):
            case Admitted(account=account):
                self._messages = self._room.mailboxes.listing(account)
                return Ok("Welcome")
            case refusal:
                self._turned_away = True
                return Challenge(refusal.challenge)

    def _tell(self, event: StatAsked | ListAsked | UidlAsked) -> Answer:
        if isinstance(event, StatAsked):
            kept = [message for _, message in self._kept()]
            return Ok(f"{len(kept)} {sum(message.size for message in kept)}")
        lines = [(number, _line(event, number, message)) for number, message in self._kept()]
        if event.number is None:
            return Ok(f"{len(lines)} messages", tuple(line.encode() for _, line in lines))
        return next((Ok(line) for number, line in lines if number == event.number), _NO_MESSAGE)

    def _act(self, event: RetrAsked | TopAsked | DeleAsked | RsetAsked | QuitAsked | NoopAsked) -> Answer:
        match event:
            case RetrAsked(number=number) | TopAsked(number=number):
                return Ok("Here it comes") if self._has(number) else _NO_MESSAGE
            case DeleAsked(number=number):
                return self._mark(number)
            case RsetAsked():
                self._deleted.clear()
            case QuitAsked():
                self._delete_marked()
            case NoopAsked():
                pass
        return Ok("Bye" if isinstance(event, QuitAsked) else "")

    def _mark(self, number: int) -> Answer:
        if not self._has(number):
            return _NO_MESSAGE
        self._deleted.add(number)
        return Ok("Marked")

    def _delete_marked(self) -> None:
        for number in self._deleted:
            self._messages[number - 1].path.unlink(missing_ok=True)
            self._room.journal.note("pop3", "DELE", "ok")

    def _has(self, number: int) -> bool:
        return 1 <= number <= len(self._messages) and number not in self._deleted

    def _kept(self) -> Iterator[tuple[int, Stored]]:
        numbered: Iterable[tuple[int, Stored]] = enumerate(self._messages, 1)
        return ((number, message) for number, message in numbered if number not in self._deleted)


def _line(event: ListAsked | UidlAsked, number: int, message: Stored) -> str:
    return f"{number} {message.size if isinstance(event, ListAsked) else message.uidl}"


def _spoiled(fault: Fault) -> Err:
    """Return the answer that ``fault`` asks for; its body is the text, with or without ``-ERR``."""
    text = fault.body.decode(errors="replace").strip().removeprefix("-ERR").strip()
    return Err(text or "[SYS/TEMP] Out of order on order")
