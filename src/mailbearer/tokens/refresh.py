"""Renewal (RFC 6749 section 6): exactly one at a time for a grant, over callers and processes, and no token lost.

The order of a renewal is the promise of this room (docs/decisions/0011-one-renewal-at-a-time.md):

1. lease the grant in the store, look again whether there is still something to do;
2. reserve a slot of the journal, ask the authorization server, keep its answer in the slot before reading it;
3. write the renewed grant where the version is still the one that was leased; clear the slot; release the lease.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from mailbearer.errors import (
    DeadlineError,
    InvalidInputError,
    MailbearerError,
    StoreError,
    TokenUnavailableError,
    VaultError,
)
from mailbearer.model.grant import Grant, Trouble
from mailbearer.model.http import HttpRequest, HttpResponse
from mailbearer.model.provider import Provider, Registration
from mailbearer.model.secret import Secret
from mailbearer.model.service import ServiceId
from mailbearer.model.token import TokenSet
from mailbearer.protocol.oauth.client_auth import ClientAuth
from mailbearer.protocol.oauth.refresh import refresh_request
from mailbearer.protocol.oauth.token_response import parse_token_response
from mailbearer.providers.endpoints import resolve
from mailbearer.store.journal import Leftover, Slot
from mailbearer.tokens import reasons, schedule
from mailbearer.tokens.book import GrantBook, facts_of
from mailbearer.tokens.context import ChangeKind, Context
from mailbearer.tokens.flight import SingleFlight
from mailbearer.tokens.remove import revoke

LEASE = timedelta(seconds=60)  # longer than any request to a token endpoint (20 s)
IN_FLIGHT = 8  # renewals of different grants at once; the journal has twice as many slots
LEASE_POLL = 0.2  # seconds between two looks at a lease that another process holds

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Ask:
    """Why somebody wants a renewal."""

    refused: Secret | None = None
    note: Trouble | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class _Unkept:
    """A renewed grant on its way into the store; the answer that made it is in the slot."""

    slot: Slot
    before: Grant
    renewed: Grant


class Renewals:
    """Renews grants. Used as ``async with Renewals(context) as renewals``.

    Entering takes over what a dead process left in the journal; leaving waits for what is in flight.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._book = GrantBook(context.store, context.vault)
        self._flights = SingleFlight[Grant]()
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._unkept: dict[ServiceId, _Unkept] = {}  # renewed, in the journal, and not yet in the store (no room)

    async def __aenter__(self) -> Self:
        await self.recover_journal()
        await self._flights.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._flights.__aexit__(kind, error, trace)

    async def renew(
        self, service: ServiceId, *, refused: Secret | None = None, force: bool = False, note: Trouble | None = None
    ) -> Grant:
        """Renew the grant of ``service`` if it is due, and return it as it is held then.

        Args:
            service: whose grant.
            refused: a mail server refused this access token; renew unless another one is held already.
            force: renew though nothing is due (Renew now). Neither this nor ``refused`` renews twice in a minute.
            note: kept beside the renewed grant until the next renewal.

        Raises:
            TokenUnavailableError: there is no grant (MB-T54), or the renewal failed; nothing held was lost by it.
            StoreError: the data folder cannot be used.
        """
        ask = _Ask(refused, note, force)
        grant = await self._flights.run(service, lambda: self._renew(service, ask))
        if refused is not None and grant.tokens.access_token == refused:
            # the flight that we joined may have been somebody's who had nothing to complain of
            grant = await self._flights.run(service, lambda: self._renew(service, ask))
        return grant

    async def recover_journal(self) -> None:
        """Take over answers that a process kept and could not write any more before it ended (kill -9, no room)."""
        journal = self._context.store.journal
        for leftover in await journal.recover():
            try:
                await self._recover(leftover)
            except VaultError as error:  # sealed with a key that is gone: nobody will ever read it
                _log.error("what the journal keeps for %s cannot be read: %s", leftover.service, error)
            await journal.clear(leftover.slot)

    async def _renew(self, service: ServiceId, ask: _Ask) -> Grant:
        while True:
            async with self._room:
                grant = await self._try(service, ask)
            if grant is not None:
                return grant
            await self._context.clock.sleep(LEASE_POLL)

    async def _try(self, service: ServiceId, ask: _Ask) -> Grant | None:
        """Return the grant as it is to be used, None while another process renews it."""
        if service in self._unkept:
            return await self._keep(self._unkept[service])
        grants, now = self._context.store.grants, self._context.clock.now()
        leased = await grants.lease(service, owner=self._context.owner, until=now + LEASE, now=now)
        if leased is None:
            grant = await self._book.grant(service)
            if grant is None:
                raise TokenUnavailableError("MB-T54", service=service)
            return grant if self._nothing_to_do(grant, ask) else None
        try:
            grant = self._book.opened(leased)  # as it is under the lease: another may just have renewed it
            return grant if self._nothing_to_do(grant, ask) else await self._exchange(grant, ask)
        finally:
            with contextlib.suppress(StoreError):  # it ends by itself
                await grants.release(service, owner=self._context.owner)

    def _nothing_to_do(self, grant: Grant, ask: _Ask) -> bool:
        """Is the grant good as it is? Raises TokenUnavailableError while a failed renewal pauses."""
        now = self._context.clock.now()
        if ask.refused is not None and grant.tokens.access_token != ask.refused:
            return True
        forced = ask.force or ask.refused is not None
        if forced and timedelta(0) <= now - grant.refreshed_at < schedule.FORCED_PAUSE:
            return True
        if self._pauses(grant, now, force=ask.force):
            raise reasons.unavailable(grant)
        due = schedule.next_due(facts_of(grant), now, schedule.draw_for(grant.service, grant.version))
        return not forced and due > now

    def _pauses(self, grant: Grant, now: datetime, *, force: bool) -> bool:
        if grant.next_try is None or grant.next_try <= now or grant.next_try > now + schedule.LONGEST_PAUSE:
            return False
        if not force or reasons.pause_is_the_providers(grant):
            return True
        tried = reasons.last_try(grant)
        return tried is not None and timedelta(0) <= now - tried < schedule.FORCED_PAUSE

    async def _exchange(self, grant: Grant, ask: _Ask) -> Grant:
        journal = self._context.store.journal
        provider: Provider | None = None
        slot = await journal.reserve(grant.service, grant.version)
        try:
            provider, registration = await self._context.provider_of(grant.provider)
            tokens = await self._ask_server(grant, provider, registration, slot)
        except Exception as error:
            await journal.clear(slot)
            if isinstance(error, MailbearerError):
                raise await self._set_back(grant, error, provider) from error
            raise
        return await self._keep(_Unkept(slot, grant, self._renewed(grant, tokens, ask.note)))

    async def _ask_server(self, grant: Grant, provider: Provider, registration: Registration, slot: Slot) -> TokenSet:
        request = _request(grant, provider, registration)
        asked_at = self._context.clock.now()
        self._keep_answer(slot, grant, asked_at, b"")  # asked: should this process die now, the answer is lost
        response = await self._context.http.send(request, ca_file=registration.ca_file)
        if response.status == 200:
            self._keep_answer(slot, grant, asked_at, response.body)
        return parse_token_response(
            response, now=asked_at, default_lifetime=timedelta(seconds=provider.access_lifetime)
        )

    def _keep_answer(self, slot: Slot, grant: Grant, asked_at: datetime, body: bytes) -> None:
        text = f"{asked_at.isoformat()}\n{body.decode(errors='replace')}"
        sealed = self._context.vault.seal(Secret(text), place=_answer_place(grant.service, grant.version))
        try:
            self._context.store.journal.keep(slot, sealed)
        except StoreError as error:  # the database may still take it
            _log.warning("the answer for %s could not be put into the journal: %s", grant.service, error)

    def _renewed(self, grant: Grant, tokens: TokenSet, note: Trouble | None) -> Grant:
        """The new refresh token replaces the old one, if there is a new one (RFC 6749 section 6)."""
        merged = replace(
            tokens,
            refresh_token=tokens.refresh_token or grant.tokens.refresh_token,
            scope=tokens.scope or grant.tokens.scope,
            id_token=None,
        )
        return replace(
            grant,
            version=grant.version + 1,
            tokens=merged,
            refreshed_at=self._context.clock.now(),
            invalid=None,
            trouble=note,
            failures=0,
            next_try=None,
        )

    async def _keep(self, unkept: _Unkept) -> Grant:
        """Write the renewed grant; while there is no room for it, the journal holds it and it may be used."""
        before, renewed = unkept.before, unkept.renewed
        try:
            written = await self._book.replace(renewed)
        except StoreError as error:
            _log.error("the renewed token of %s is in the journal only: %s", renewed.service, error)
            self._unkept[renewed.service] = unkept
            return renewed
        self._unkept.pop(renewed.service, None)
        await self._context.store.journal.clear(unkept.slot)
        if not written:
            return await self._overtaken(renewed)
        healed = before.invalid is not None
        self._context.tell(renewed.service, ChangeKind.HEALED if healed else ChangeKind.RENEWED)
        return renewed

    async def _overtaken(self, renewed: Grant) -> Grant:
        """Somebody deleted the grant or signed in anew while the answer was on its way: that stands."""
        held = await self._book.grant(renewed.service)
        if held is not None:
            return held
        await revoke(self._context, renewed)
        raise TokenUnavailableError("MB-T54", service=renewed.service)

    async def _set_back(self, grant: Grant, error: MailbearerError, provider: Provider | None) -> TokenUnavailableError:
        back = reasons.setback(grant, error, provider, self._context.clock.now())
        service, trouble = grant.service, back.trouble
        written = await self._book.note(
            grant,
            invalid=trouble if back.invalid else grant.invalid,
            trouble=None if back.invalid else trouble,
            failures=grant.failures + 1,
            next_try=trouble.next_try,
        )
        if written:
            kind = ChangeKind.INVALID if back.invalid else ChangeKind.TROUBLED
            self._context.tell(service, kind, code=trouble.code)
        return reasons.as_error(trouble, service=service)

    async def _recover(self, leftover: Leftover) -> None:
        grant = await self._book.grant(leftover.service)
        if grant is None or grant.version != leftover.version:
            return  # deleted, or written before the process ended
        place = _answer_place(leftover.service, leftover.version)
        written, _, body = self._context.vault.open(leftover.sealed, place=place).reveal().partition("\n")
        asked_at = datetime.fromisoformat(written)
        try:
            if not body:
                raise DeadlineError("MB-T01", problem="this machine stopped before the answer came")
            provider, _ = await self._context.provider_of(grant.provider)
            lifetime = timedelta(seconds=provider.access_lifetime)
            tokens = parse_token_response(HttpResponse(200, {}, body.encode()), now=asked_at, default_lifetime=lifetime)
        except MailbearerError as error:
            await self._set_back(grant, error, None)
            return
        renewed = self._renewed(grant, tokens, None)
        if await self._book.replace(renewed):
            _log.warning("the renewed token of %s was found in the journal", leftover.service)
            self._context.tell(leftover.service, ChangeKind.RENEWED)


def _request(grant: Grant, provider: Provider, registration: Registration) -> HttpRequest:
    if not grant.tokens.refresh_token:
        raise InvalidInputError("MB-T21", provider=provider.name)
    auth = ClientAuth(registration.client_id, registration.client_secret)
    return refresh_request(resolve(provider, registration).token, auth, grant.tokens.refresh_token)


def _answer_place(service: ServiceId, version: int) -> str:
    return f"journal/{service}/{version}"
