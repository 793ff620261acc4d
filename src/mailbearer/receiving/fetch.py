"""One look into a POP3 mailbox: what is new is fetched, handed over, marked, and then deleted there if wanted."""

import asyncio
import contextlib
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from mailbearer.clock import Clock
from mailbearer.errors import (
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    MailbearerError,
    ServerRefusedError,
    StoreError,
    TokenUnavailableError,
)
from mailbearer.model.message import ReceivedItem
from mailbearer.model.provider import Provider
from mailbearer.model.service import (
    AfterReceiving,
    AuthMethod,
    Destination,
    DestinationKind,
    PopSettings,
    Service,
    ServiceId,
)
from mailbearer.net.pop3 import Pop3Session, open_pop3
from mailbearer.net.route import Route, routes_of
from mailbearer.observe.maillog import Verb, record
from mailbearer.protocol.sasl.login import Login
from mailbearer.protocol.sasl.plain import Plain
from mailbearer.receiving import attachments, folder, maildir
from mailbearer.receiving.files import prepare_folder, unreachable
from mailbearer.receiving.header import described
from mailbearer.receiving.item import Item, mark_of
from mailbearer.store.folder import FileLock
from mailbearer.store.seen import SeenState
from mailbearer.store.store import Store
from mailbearer.tokens.admission import Sources, admitted, mechanism_of
from mailbearer.tokens.source import AccessToken

MESSAGE_MAX = 150_000_000  # octets of one message that is fetched
_HAND_OVER: dict[DestinationKind, Callable[[Item, Path], None]] = {
    DestinationKind.MAILDIR: maildir.hand_over,
    DestinationKind.FOLDER: folder.hand_over,
    DestinationKind.ATTACHMENTS: attachments.hand_over,
}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one look brought. ``left`` counts what stays on the server; ``problems`` are errors of single messages."""

    handed_over: int = 0
    deleted: int = 0
    left: int = 0
    problems: tuple[MailbearerError, ...] = field(default=())


class Fetcher:
    """Looks into mailboxes. ``message_max`` is the largest message in octets that is fetched."""

    def __init__(self, store: Store, sources: Sources, clock: Clock, *, message_max: int = MESSAGE_MAX) -> None:
        self.store = store
        self.clock = clock
        self.message_max = message_max
        self.too_large: set[tuple[ServiceId, str]] = set()  # so that one of them does not stop those behind it
        self._sources = sources

    async def check(self, identity: ServiceId) -> CheckResult:
        """Fetch what is new in the mailbox of a service and hand it over.

        Raises:
            InvalidInputError: it is no POP service, or has nowhere to put what it fetches.
            ConflictError: MB-W33, somebody else is looking into it now.
            MailbearerError: no connection, no token, a destination that cannot be reached; nothing was lost.
        """
        service = await self._sources.service_of(identity)
        if not isinstance(service.settings, PopSettings):
            raise InvalidInputError("MB-W05", field="Service", problem=f"{identity} is not a POP service")
        if not service.settings.destinations:
            raise InvalidInputError("MB-W34", service=identity)
        with FileLock(self.store.folder.path / f"check-{identity}.lock") as lock:
            if not lock.take(shared=False):
                raise ConflictError("MB-W33", service=identity)
            await asyncio.to_thread(_prepare, service.settings.destinations)
            await asyncio.to_thread(_remove_left_over, self.store.folder.path, _incoming(identity))
            return await self._visits(service)

    async def _visits(self, service: Service) -> CheckResult:
        """Visit the mailbox; once more after each message that turned out to be too large, to get at those behind."""
        result = CheckResult()
        while True:
            passed_over = len(self.too_large)
            visit = _Visit(self, await self._open(service), service, result)
            try:
                return await visit.run()
            except LimitExceededError:
                if len(self.too_large) == passed_over:
                    raise
                result = visit.result
            finally:
                await visit.session.close()

    async def _open(self, service: Service) -> Pop3Session:
        provider: Provider | None = None
        ca_file = ""
        if service.settings.provider:
            provider, registration = await self._sources.provider_of(service.settings.provider)
            ca_file = registration.ca_file
        routes = routes_of(service, ca_file)
        if not routes or not service.settings.port:
            raise TokenUnavailableError("MB-W30", service=service.id)
        if service.settings.auth is AuthMethod.PASSWORD:
            return await self._with_password(service, routes[0])
        if provider is None:
            raise InvalidInputError("MB-W05", field="Provider", problem="choose one; OAuth 2.0 needs it")
        return await self._with_token(service, provider, routes[0])

    async def _with_token(self, service: Service, provider: Provider, route: Route) -> Pop3Session:
        wanted = provider.sasl.get(service.kind) or ("XOAUTH2", "OAUTHBEARER")

        async def attempt(access: AccessToken) -> Pop3Session:
            session = await open_pop3(route, self.clock)
            try:
                # Exchange Online and others take XOAUTH2 without listing it in CAPA
                name = session.choose(wanted, unlisted=True)
                await session.sign_in(mechanism_of(name, service.sasl_user, (route.host, route.port), access))
            except BaseException:
                await session.close()
                raise
            return session

        return await admitted(
            self._sources.tokens,
            service,
            server=route.host,
            provider=provider,
            clock=self.clock,
            attempt=attempt,
        )

    async def _with_password(self, service: Service, route: Route) -> Pop3Session:
        password, user = service.settings.password, service.sasl_user
        if password is None:
            raise TokenUnavailableError("MB-W31", service=service.id)
        session = await open_pop3(route, self.clock)
        try:
            offered = session.capabilities.sasl
            if "PLAIN" in offered:
                await session.sign_in(Plain(user, password), cleartext=True)
            elif "LOGIN" in offered:
                await session.sign_in(Login(user, password), cleartext=True)
            else:
                await session.log_in(user, password, cleartext=True)
        except BaseException:
            await session.close()
            raise
        return session


class _Visit:
    """One session, from UIDL to QUIT; ``result`` adds to that of the visits before."""

    def __init__(self, fetcher: Fetcher, session: Pop3Session, service: Service, before: CheckResult) -> None:
        self.session = session
        self.result = CheckResult(handed_over=before.handed_over)
        self._fetcher = fetcher
        self._store = fetcher.store
        self._service = service
        self._deleted: list[str] = []

    async def run(self) -> CheckResult:
        listed = await self._listed()
        known = await self._store.seen.known(self._service.id, (uidl for _, uidl in listed))
        for number, uidl in listed:
            if uidl in known or await self._take(number, uidl):
                await self._settle(number, uidl)
        if await self.session.quit():
            await self._forget(listed)
            self.result = replace(self.result, deleted=len(self._deleted))
        return replace(self.result, left=len(listed) - self.result.deleted)

    async def _listed(self) -> list[tuple[int, str]]:
        stat = await self.session.stat()
        if not stat.count:
            return []
        try:
            return await self.session.uidl()
        except ServerRefusedError as error:
            raise ServerRefusedError("MB-P22", reply=error.reply, host=self.session.route.host) from error

    async def _take(self, number: int, uidl: str) -> bool:
        """Fetch one message, hand it over everywhere, and only then write down that it is done; tell whether it is."""
        if (self._service.id, uidl) in self._fetcher.too_large:
            limit = f"{self._fetcher.message_max:,} bytes"
            self._note(LimitExceededError("MB-P31", host=self.session.route.host, what="a message", limit=limit))
            return False
        folder, prefix = self._store.folder.path, _incoming(self._service.id)
        try:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=prefix) as file:
                item = await self._download(file, number, uidl)
                if not await self._hand_over(item):
                    return False
        except ServerRefusedError as error:  # the answer to RETR: it cannot give this one, perhaps the others
            self._note(error)
            return False
        except OSError as error:
            raise unreachable(folder, error) from error
        await self._write_down(item, uidl)
        return True

    async def _download(self, file: IO[bytes], number: int, uidl: str) -> Item:
        size = 0
        try:
            async for chunk in self.session.retr(number, self._fetcher.message_max):
                size += len(chunk)
                file.write(chunk)
            file.flush()
        except LimitExceededError:
            self._fetcher.too_large.add((self._service.id, uidl))
            raise
        except OSError as error:
            raise unreachable(Path(file.name), error) from error
        item = await asyncio.to_thread(described, Path(file.name), size, mark_of(self._service.id, uidl))
        record(Verb.RECEIVED, item.mark, service=self._service.id, size=size, sender=item.sender)
        return item

    async def _hand_over(self, item: Item) -> bool:
        """Hand a message over everywhere; tell whether that worked, else it stays on the server until the next look."""
        try:
            for destination in _destinations(self._service):
                await _to_the_end(_HAND_OVER[destination.kind], item, Path(destination.path))
                record(Verb.FILED, item.mark, destination=f"{destination.kind}:{destination.path}")
        except StoreError as error:
            self._note(error)
            return False
        return True

    async def _write_down(self, item: Item, uidl: str) -> None:
        now = self._fetcher.clock.now()
        await self._store.seen.mark(self._service.id, uidl, SeenState.HANDED_OVER, at=now)
        await self._store.received.add(
            ReceivedItem(
                id=f"{item.mark}-{secrets.token_hex(2)}",  # a server may give a unique-id out again
                service=self._service.id,
                uidl=uidl,
                at=now,
                size=item.size,
                sender=item.sender,
                subject=item.subject,
                destinations=tuple(f"{each.kind}:{each.path}" for each in _destinations(self._service)),
                state="Filed",
            )
        )
        self.result = replace(self.result, handed_over=self.result.handed_over + 1)

    def _note(self, problem: MailbearerError) -> None:
        self.result = replace(self.result, problems=(*self.result.problems, problem))

    async def _settle(self, number: int, uidl: str) -> None:
        """Delete what was handed over, if the service says so."""
        settings = self._service.settings
        if isinstance(settings, PopSettings) and settings.after_receiving is AfterReceiving.DELETE:
            try:
                await self.session.dele(number)
            except ServerRefusedError as error:  # tried again at the next look
                self._note(error)
            else:
                self._deleted.append(uidl)

    async def _forget(self, listed: list[tuple[int, str]]) -> None:
        """Forget what the server has no more; it confirmed the deletions by its answer to QUIT."""
        for uidl in self._deleted:
            record(Verb.DELETED, mark_of(self._service.id, uidl), service=self._service.id)
        left = {uidl for _, uidl in listed} - set(self._deleted)
        await self._store.seen.forget_gone(self._service.id, left)
        self._fetcher.too_large -= {
            (name, uidl) for name, uidl in self._fetcher.too_large if name == self._service.id and uidl not in left
        }


async def _to_the_end(work: Callable[[Item, Path], None], item: Item, path: Path) -> None:
    """Do ``work`` in a thread; whoever is cancelled waits for it, because it reads a file that goes with the task."""
    working = asyncio.get_running_loop().run_in_executor(None, work, item, path)
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise


def _incoming(service: ServiceId) -> str:
    return f".incoming-{service}-"


def _remove_left_over(folder: Path, prefix: str) -> None:
    """Remove what a crash left of unfinished downloads of a service; its lock is held."""
    with contextlib.suppress(OSError):  # next time, then
        for file in folder.glob(f"{prefix}*"):
            file.unlink(missing_ok=True)


def _prepare(destinations: tuple[Destination, ...]) -> None:
    for destination in destinations:
        if destination.kind is DestinationKind.MAILDIR:
            maildir.prepare(Path(destination.path))
        else:
            prepare_folder(Path(destination.path))


def _destinations(service: Service) -> tuple[Destination, ...]:
    return service.settings.destinations if isinstance(service.settings, PopSettings) else ()
