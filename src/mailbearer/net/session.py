"""What SMTP and POP3 sessions have in common: bytes between a stream and a core, errors that name the server."""

import contextlib
from collections.abc import Generator
from typing import Protocol, Self, TypeVar

from mailbearer.clock import Clock
from mailbearer.errors import (
    ConnectionLostError,
    ForeignServerError,
    MailbearerError,
    RemoteProtocolError,
    SignInRefusedError,
)
from mailbearer.net.connect import secure
from mailbearer.net.stream import INJECTED, Stream
from mailbearer.protocol.oauth.metadata import is_loopback
from mailbearer.protocol.sasl.mechanism import Mechanism

QUIT_SECONDS = 5.0
BLOCK = 65_536  # bytes that are given a deadline of their own
TOKEN_MECHANISMS = frozenset({"XOAUTH2", "OAUTHBEARER"})

Event_co = TypeVar("Event_co", covariant=True)


class Core(Protocol[Event_co]):
    """A protocol core, as far as it takes bytes and gives events."""

    def receive(self, data: bytes) -> None:
        """Take what came."""
        ...

    def end_of_input(self) -> None:
        """Note that nothing more will come."""
        ...

    def next_event(self) -> Event_co | None:
        """Return what it means, None when more must come."""
        ...


class Session:
    """A conversation with one mail server; ``async with`` closes it. For one task at a time."""

    def __init__(self, stream: Stream, clock: Clock) -> None:
        self.stream = stream
        self.route = stream.route
        self._clock = clock

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection without a word; after an error nothing else makes sense."""
        await self.stream.close()

    async def _next(self, core: Core[Event_co], seconds: float, when: str) -> Event_co:
        ended = False
        while True:
            try:  # without _named: this is done for each reply
                event = core.next_event()
            except (RemoteProtocolError, ConnectionLostError) as error:
                raise self._with_name(error) from error
            if event is not None:
                return event
            if ended:
                raise ConnectionLostError(self.route.code(32), host=self.route.host, when=when)
            data = await self.stream.read(deadline=seconds, when=when)
            ended = not data
            with self._named():
                core.end_of_input() if ended else core.receive(data)

    async def _write(self, data: bytes, seconds: float, when: str) -> None:
        for start in range(0, len(data), BLOCK):
            await self.stream.write(data[start : start + BLOCK], deadline=seconds, when=when)

    async def _secure(self, *, leftover: bool) -> None:
        """Change over to TLS; what came before it is refused, it may be an attacker's (CVE-2011-0411)."""
        if leftover:
            self.stream.abort()
            raise RemoteProtocolError(self.route.code(30), host=self.route.host, problem=INJECTED)
        self.stream = await secure(self.stream, self._clock)

    def _check_cover(self, mechanism: Mechanism | None, *, cleartext: bool) -> None:
        """Let secrets pass only inside TLS; a password also to this machine itself, when ``cleartext`` allows it."""
        if self.stream.encrypted:
            return
        password = mechanism is None or mechanism.name not in TOKEN_MECHANISMS
        if not (password and cleartext and is_loopback(self.stream.peer_address)):
            raise ForeignServerError("MB-T41", host=self.route.host, port=self.route.port)

    def _sign_in_refused(self, reply: str, challenge: str) -> SignInRefusedError:
        return SignInRefusedError("MB-S13", reply=reply, challenge=challenge, host=self.route.host)

    @contextlib.contextmanager
    def _named(self) -> Generator[None]:
        """Let an error of a core name the server, and begin with the right letter."""
        try:
            yield
        except (RemoteProtocolError, ConnectionLostError) as error:
            raise self._with_name(error) from error

    def _with_name(self, error: RemoteProtocolError | ConnectionLostError) -> MailbearerError:
        code = self.route.code(int(error.code[-2:]))
        fields = {**error.fields, "host": self.route.host}
        return type(error)(code, detail=error.detail, **fields)
