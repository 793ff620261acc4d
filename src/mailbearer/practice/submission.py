"""Mail submission (RFC 6409) to the practice mailboxes, over STARTTLS or TLS, with a token and with nothing else."""

import re
from collections.abc import Mapping
from typing import Final

from mailbearer.practice.bearer import MECHANISMS, Admitted
from mailbearer.practice.connection import Connection
from mailbearer.practice.faults import Fault
from mailbearer.practice.mail_room import MailRoom
from mailbearer.practice.mailboxes import Incoming
from mailbearer.practice.options import DOMAIN, account_of
from mailbearer.protocol.smtp.replies import Reply
from mailbearer.protocol.smtp.server import SmtpServer
from mailbearer.protocol.smtp.server_events import (
    AuthAsked,
    AuthCancelled,
    AuthGiven,
    Bad,
    Body,
    BodyEnd,
    Challenge,
    ChunkEnd,
    DataAsked,
    Event,
    Hello,
    MailAsked,
    NoopAsked,
    QuitAsked,
    RcptAsked,
    RsetAsked,
    StartTlsAsked,
    Whole,
)

Answer = Reply | Challenge

GREETING: Final = Reply(220, lines=("localhost ESMTP Mailbearer practice",))
NO_FAULT: Final = Fault()

_PLACES: Final[Mapping[type[Event], str]] = {
    Hello: "smtp/ehlo",
    StartTlsAsked: "smtp/starttls",
    MailAsked: "smtp/mail",
    RcptAsked: "smtp/rcpt",
    DataAsked: "smtp/data",
    BodyEnd: "smtp/end",
}
_FAULT_REPLY = re.compile(r"([245][0-9]{2}) (.*)", re.DOTALL)

_REPLIES: Final[Mapping[type[Event], Reply]] = {
    StartTlsAsked: Reply(220, "2.0.0", ("Ready to start TLS",)),
    NoopAsked: Reply(250, "2.0.0", ("OK",)),
    QuitAsked: Reply(221, "2.0.0", ("Bye",)),
}
_FORGOTTEN = Reply(250, "2.0.0", ("Forgotten",))
_REFUSED = Reply(535, "5.7.8", ("Authentication credentials invalid",))


class Submission:
    """One connection of a client, from greeting to end."""

    def __init__(self, room: MailRoom, connection: Connection, *, sealed: bool) -> None:
        self._room = room
        self._connection = connection
        self._sealed = sealed
        self._core = SmtpServer(size_max=room.message_limit)
        self._account = ""
        self._mechanism = ""
        self._turned_away = False
        self._sender = ""
        self._recipients: list[str] = []
        self._incoming: Incoming | None = None

    async def run(self) -> None:
        """Serve the client until it goes."""
        try:
            await self._greet()
            while not self._core.over:
                event = self._core.next_event()
                if event is not None:
                    await self._answer(event)
                    continue
                data = await self._connection.read()
                if not data:
                    return
                self._core.receive(data)
        finally:
            self._forget_message()

    async def _greet(self) -> None:
        fault = await self._room.fault("smtp/connect", self._connection)
        await self._connection.write(self._core.send(_spoiled(fault) if fault.spoils else GREETING))

    async def _answer(self, event: Event) -> None:
        if isinstance(event, Body):
            self._take_body(event)
            return
        place = self._place(event)
        fault = await self._room.fault(place, self._connection) if place else NO_FAULT
        answer = self._decide(event) if fault.lets_happen else _spoiled(fault)
        if fault.drop:
            self._room.hang_up(place, self._connection)
        data = self._core.send(_spoiled(fault) if fault.spoils else answer)
        if isinstance(event, StartTlsAsked) and self._core.over:
            await self._start_tls(data)
        else:
            await self._connection.write(data)

    async def _start_tls(self, ready: bytes) -> None:
        await self._connection.start_tls(ready, self._room.context)
        self._sealed = True
        self._core = SmtpServer(greeting=False, size_max=self._room.message_limit)

    def _place(self, event: Event) -> str:
        match event:
            case AuthAsked(initial=bytes()):
                return "smtp/auth"
            case AuthGiven() if not self._turned_away:
                return "smtp/auth"
            case _:
                return _PLACES.get(type(event), "")

    def _decide(self, event: Event) -> Answer:
        match event:
            case Hello(esmtp=esmtp):
                return self._hello(esmtp=esmtp)
            case AuthAsked() | AuthGiven() | AuthCancelled():
                return self._sign_in(event)
            case MailAsked() | RcptAsked() | DataAsked() | BodyEnd() | RsetAsked():
                return self._message(event)
            case Bad(reply=reply):
                return reply
            case ChunkEnd(size=size):
                return Reply(250, "2.0.0", (f"{size} octets so far",))
            case StartTlsAsked() | NoopAsked() | QuitAsked() | Body() | Whole():  # the last two are never decided
                return _REPLIES[type(event)]

    def _hello(self, *, esmtp: bool) -> Reply:
        self._forget_message()
        if not esmtp:
            return Reply(250, lines=("localhost",))
        last = f"AUTH {' '.join(MECHANISMS)}" if self._sealed else "STARTTLS"
        size = f"SIZE {self._room.message_limit}"
        return Reply(250, "", ("localhost", size, "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES", last))

    def _sign_in(self, event: AuthAsked | AuthGiven | AuthCancelled) -> Answer:
        match event:
            case AuthAsked(mechanism=mechanism, initial=initial):
                self._mechanism, self._turned_away = mechanism, False
                return Challenge(b"") if initial is None else self._admit(initial)
            case AuthGiven(data=data):
                return _REFUSED if self._turned_away else self._admit(data)
            case AuthCancelled():
                return Reply(501, "5.7.0", ("Authentication cancelled",))

    def _admit(self, response: bytes) -> Answer:
        match self._room.gate.admit(self._mechanism, response):
            case Admitted(account=account):
                self._account = account
                return Reply(235, "2.7.0", ("Welcome",))
            case refusal:
                self._turned_away = True
                return Challenge(refusal.challenge)

    def _message(self, event: MailAsked | RcptAsked | DataAsked | BodyEnd | RsetAsked) -> Reply:
        match event:
            case MailAsked():
                return self._begin(event)
            case RcptAsked(address=address):
                return self._add_recipient(address)
            case DataAsked():
                protocol = f"ESMTPSA (account {self._account})"
                self._incoming = self._room.mailboxes.begin(sender=self._sender, protocol=protocol)
                return Reply(354, lines=("Go on, end with a dot",))
            case BodyEnd():
                return self._finish(event)
            case RsetAsked():
                self._forget_message()
                return _FORGOTTEN

    def _begin(self, asked: MailAsked) -> Reply:
        if not self._account:
            return Reply(530, "5.7.0", ("Sign in first" if self._sealed else "Must issue a STARTTLS command first",))
        self._sender = asked.address
        return Reply(250, "2.1.0", ("OK",))

    def _add_recipient(self, address: str) -> Reply:
        account = account_of(address) if "@" in address else ""
        if not account:
            return Reply(550, "5.1.1", (f"Nobody here but addresses at {DOMAIN}",))
        self._recipients.append(account)
        return Reply(250, "2.1.5", ("OK",))

    def _take_body(self, body: Body) -> None:
        if self._incoming is not None:
            self._incoming.write(body.chunk)

    def _finish(self, end: BodyEnd) -> Reply:
        try:
            if end.oversize:
                return Reply(552, "5.3.4", ("The message is too large",))
            if end.stray or end.nul:
                return Reply(554, "5.6.0", ("The message holds a NUL, or a CR or LF that stands alone",))
            if self._incoming is not None:
                self._incoming.deliver(self._recipients)
            self._room.journal.note("smtp", "DATA", "ok")
            return Reply(250, "2.0.0", ("Delivered",))
        finally:
            self._forget_message()

    def _forget_message(self) -> None:
        if self._incoming is not None:
            self._incoming.discard()
        self._incoming = None
        self._sender = ""
        self._recipients = []


def _spoiled(fault: Fault) -> Reply:
    """Return the reply that ``fault`` asks for; its body is text or a whole reply line."""
    text = fault.body.decode(errors="replace").strip()
    whole = _FAULT_REPLY.fullmatch(text)
    if whole is not None:
        return Reply(int(whole[1]), "", (whole[2],))
    return Reply(fault.status or 451, "", (text or "4.3.0 Out of order on order",))
