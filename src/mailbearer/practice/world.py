"""One practice world: all servers in one process and one folder, and the hands that a test or demo lays on them."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from mailbearer.clock import Clock, SystemClock
from mailbearer.model.provider import Provider, Registration
from mailbearer.practice import certificates
from mailbearer.practice.authority import Authority
from mailbearer.practice.bearer import Gate
from mailbearer.practice.connection import Connection
from mailbearer.practice.endpoints import Endpoints
from mailbearer.practice.faults import Entry, Fault, FaultBook, Journal, as_body
from mailbearer.practice.forms import parse_form
from mailbearer.practice.http_server import HttpServer
from mailbearer.practice.ledger import Ledger
from mailbearer.practice.mail_room import Listeners, MailRoom
from mailbearer.practice.mailboxes import Mailboxes
from mailbearer.practice.options import RECEIVE, SEND, PracticeOptions, check_account
from mailbearer.practice.post_office import PostOffice
from mailbearer.practice.provider import Ports, practice_provider
from mailbearer.practice.sign_in_pages import SignInPages
from mailbearer.practice.sign_ins import CodeRequest, SignIns
from mailbearer.practice.submission import Submission

ADDRESS = "127.0.0.1"


class PracticeWorld:
    """``async with PracticeWorld(folder) as world:`` runs all servers until the block ends.

    What ``folder`` holds from an earlier run (tokens, mail, certificates, ports) is taken up again. The times are those
    of ``clock``, so a test may let a year pass.
    """

    ports: Ports
    _sign_ins: SignIns

    def __init__(self, folder: Path, options: PracticeOptions | None = None, *, clock: Clock | None = None) -> None:
        self._folder = folder
        self._clock = clock or SystemClock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._ledger = Ledger(folder / "practice.json")
        self._authority = Authority(self._ledger, options or PracticeOptions(), self._clock)
        self._mailboxes = Mailboxes(folder / "mail", self._clock)
        self._faults = FaultBook()
        self._journal = Journal()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            sockets = {name: stack.enter_context(_bound(self._ledger.ports.get(name, 0))) for name in Ports.NAMES}
            self._ledger.ports = {name: listener.getsockname()[1] for name, listener in sockets.items()}
            self._authority.save()
            self.ports = Ports(**self._ledger.ports)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            await self._open_http(sockets["http"], stack)
            self._open_mail(sockets, Listeners(tasks, self._clock), stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()  # without the error: the task group would wrap it

    async def _open_http(self, listener: socket.socket, stack: AsyncExitStack) -> None:
        self._sign_ins = SignIns(self._authority, self.issuer)
        server = HttpServer(
            Endpoints(self._authority, self._sign_ins, self.issuer),
            SignInPages(self._sign_ins),
            faults=self._faults,
            journal=self._journal,
            clock=self._clock,
        )
        stack.callback(server.close)
        await server.open(listener)

    def _open_mail(self, sockets: Mapping[str, socket.socket], listeners: Listeners, stack: AsyncExitStack) -> None:
        context = certificates.server_context(self._folder, self._clock.now())
        smtp, pop3 = self._mail_room("smtp", SEND, context), self._mail_room("pop3", RECEIVE, context)

        def submission(*, sealed: bool) -> Callable[[Connection], Awaitable[None]]:
            return lambda connection: Submission(smtp, connection, sealed=sealed).run()

        def post_office(*, sealed: bool) -> Callable[[Connection], Awaitable[None]]:
            return lambda connection: PostOffice(pop3, connection, sealed=sealed).run()

        stack.callback(listeners.close)
        listeners.open(sockets["smtp"], submission(sealed=False))
        listeners.open(sockets["smtps"], submission(sealed=True), context=context)
        listeners.open(sockets["pop3"], post_office(sealed=False))
        listeners.open(sockets["pop3s"], post_office(sealed=True), context=context)

    def _mail_room(self, endpoint: str, scope: str, context: ssl.SSLContext) -> MailRoom:
        return MailRoom(
            context=context,
            gate=Gate(self._authority, self._journal, issuer=self.issuer, endpoint=endpoint, scope=scope),
            mailboxes=self._mailboxes,
            faults=self._faults,
            journal=self._journal,
            clock=self._clock,
            message_limit=self.options.message_limit,
        )

    @property
    def issuer(self) -> str:
        """The address of the authorization server."""
        return self.ports.issuer

    @property
    def ca_file(self) -> Path:
        """The certificate that clients of the mail servers must trust."""
        return certificates.ca_file(self._folder)

    @property
    def provider(self) -> Provider:
        """The entry of the catalogue for this world."""
        return practice_provider(self.ports, self.ca_file)[0]

    @property
    def registration(self) -> Registration:
        """An application registration that fits."""
        return practice_provider(self.ports, self.ca_file)[1]

    @property
    def options(self) -> PracticeOptions:
        """Lifetimes and habits; what is set here holds for everything that is given out from now on."""
        return self._authority.options

    @options.setter
    def options(self, options: PracticeOptions) -> None:
        self._authority.options = options

    @property
    def journal(self) -> list[Entry]:
        """What was asked of the servers and how it ended, oldest first."""
        return self._journal.entries()

    def approve(self, user_code: str, account: str, *, scopes: tuple[str, ...] | None = None) -> None:
        """Decide for the person: let the device with this code sign in; ``scopes`` may be fewer than it asked for.

        Raises:
            NotFoundError: no such code waits.
            InvalidInputError: the account is none of ours, or blocked.
        """
        self._sign_ins.allow_device(user_code, account, scopes)

    def deny(self, user_code: str) -> None:
        """Decide for the person: refuse the device with this code.

        Raises:
            NotFoundError: no such code waits.
        """
        self._sign_ins.deny_device(user_code)

    def authorize(self, url: str, account: str, *, scopes: tuple[str, ...] | None = None) -> str:
        """Decide for the person who was sent to the authorization address ``url``; return where that leads.

        Raises:
            InvalidInputError: the request or the account is not allowed here.
            AuthorizationError: the request is wrong.
        """
        return self._sign_ins.allow_code(self._asked(url), account, scopes)

    def refuse(self, url: str) -> str:
        """Refuse for the person who was sent to the authorization address ``url``; return where that leads.

        Raises:
            InvalidInputError: the request is not allowed here.
            AuthorizationError: the request is wrong.
        """
        return self._sign_ins.deny_code(self._asked(url))

    def _asked(self, url: str) -> CodeRequest:
        return self._sign_ins.check_code_request(parse_form(urlsplit(url).query.encode()))

    def disable(self, account: str) -> None:
        """Block an account: no sign-in, no renewal, and its access tokens are refused.

        Raises:
            InvalidInputError: the account is none of ours.
        """
        self._ledger.disabled.add(check_account(account))
        self._authority.save()

    def enable(self, account: str) -> None:
        """Lift the block.

        Raises:
            InvalidInputError: the account is none of ours.
        """
        self._ledger.disabled.discard(check_account(account))
        self._authority.save()

    def revoke(self, account: str) -> int:
        """End every permission that the account has given; return how many there were.

        Raises:
            InvalidInputError: the account is none of ours.
        """
        return self._authority.end_all(check_account(account))

    def expire(self, account: str) -> None:
        """Let the access tokens of the account run out now.

        Raises:
            InvalidInputError: the account is none of ours.
        """
        self._authority.expire_all(check_account(account))

    def fault(  # noqa: PLR0913 - each is a word of the order, all but the place may be left out
        self,
        path: str,
        *,
        status: int = 0,
        body: bytes | str | Mapping[str, object] = b"",
        headers: Mapping[str, str] | None = None,
        drop: bool = False,
        delay: float = 0.0,
        after: bool = False,
        count: int = 1,
    ) -> None:
        """Order a fault at ``path``: ``/token`` and the other paths, ``smtp/mail``, ``pop3/retr`` … (docs/practice.md).

        ``status`` and ``body`` replace the answer (at mail servers ``body`` is the reply), ``drop`` closes the
        connection instead, ``delay`` seconds pass before. With ``after`` the request is carried out first and only
        its answer is lost. It happens ``count`` times; -1 stands for always.
        """
        fault = Fault(
            status=status,
            body=as_body(body),
            headers=headers or {},
            drop=drop,
            delay=delay,
            after=after,
            count=count,
        )
        self._faults.order(path, fault)

    def clear_faults(self) -> None:
        """Take back all faults that have not happened yet."""
        self._faults.clear()

    def put(self, account: str, message: bytes) -> None:
        """Put a message (lines ending with CR LF) straight into a mailbox.

        Raises:
            InvalidInputError: the account is none of ours.
        """
        self._mailboxes.put(check_account(account), message)

    def mailbox(self, account: str) -> list[bytes]:
        """Return the messages of an account, oldest first.

        Raises:
            InvalidInputError: the account is none of ours.
        """
        return [b"".join(message.chunks()) for message in self._mailboxes.listing(check_account(account))]


def _bound(port: int) -> socket.socket:
    """Return a socket on ``port``, on a free one when that is taken or 0."""
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it every answer takes 40 ms
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ADDRESS, port))
    except OSError:
        listener.bind((ADDRESS, 0))
    return listener
