"""Where everybody who signs in to a mail server gets the access token."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mailbearer.errors import ForeignServerError, StoreError, TokenUnavailableError
from mailbearer.model.grant import Grant, Trouble
from mailbearer.model.secret import Secret
from mailbearer.model.service import ServiceId
from mailbearer.providers.hosts import allows
from mailbearer.tokens import reasons, schedule
from mailbearer.tokens.book import GrantBook, facts_of
from mailbearer.tokens.context import Change, ChangeKind, Context
from mailbearer.tokens.refresh import Renewals

TRUST = 1.0  # seconds for which a token in memory is given out without asking the store whether it is still held
LAST_USE = timedelta(seconds=30)  # a token with less left is not given out,
LAST_USE_SHARE = 0.1  # nor one in the last tenth of a short life
FRESH = timedelta(minutes=5)  # a refusal of a token that was renewed for a refusal within this time is the second


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token to show to a mail server, and when it ends."""

    token: Secret
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Held:
    """A token in memory, and the servers that it was found to be good for."""

    access: AccessToken
    provider: str
    renew_at: datetime
    checked: float  # monotonic
    servers: set[str]


class TokenSource:
    """Gives out access tokens that are good now; has them renewed where needed."""

    def __init__(self, context: Context, renewals: Renewals) -> None:
        self._context = context
        self._renewals = renewals
        self._book = GrantBook(context.store, context.vault)
        self._held: dict[ServiceId, _Held] = {}
        self._changes = 0  # heard of; what was read before a change is not kept after it
        context.on_change.append(self._forget)

    def cached(self, service: ServiceId) -> AccessToken | None:
        """Return the token in memory if it may be used without any question; costs microseconds."""
        held = self._good(service)
        return None if held is None else held.access

    async def access_token(
        self, service: ServiceId, *, server: str | None = None, life: timedelta = timedelta()
    ) -> AccessToken:
        """Return a token of ``service`` that can be used now, renewed first if it is due.

        A token that still lives is given out when its renewal fails for now.

        Args:
            service: whose token.
            server: the mail server that it will be shown to; left out where a person takes the token.
            life: what the token must have left; it is renewed before its time where it has less.

        Raises:
            ForeignServerError: MB-T40, the server is not one of the provider that issued the token.
            TokenUnavailableError: MB-T54 there is none; else the reason why there is none that can be used now.
        """
        held = self._good(service) or await self._look_up(service)
        if held.access.expires_at - self._context.clock.now() < life:
            held = self._hold(await self._renewed(await self._usable_grant(service), force=True))
            self._held[service] = held
        if server is not None and server not in held.servers:
            await self._check_server(held, server)
        return held.access

    async def refused(self, service: ServiceId, token: Secret, trouble: Trouble) -> AccessToken:
        """Tell that a mail server refused ``token`` for the reason ``trouble``; return the token to try once more.

        The token is renewed, at most once a minute. A second refusal of the fresh one makes the grant Invalid.

        Raises:
            TokenUnavailableError: there is nothing to try with; the mail waits.
        """
        grant = await self._usable_grant(service)
        if grant.tokens.access_token != token:
            return _access(grant)
        now = self._context.clock.now()
        young = abs(now - grant.refreshed_at) < FRESH
        if young and _refused_before(grant):
            raise await self.condemned(service, token, trouble)
        note = replace(trouble, since=now, fields={**trouble.fields, _REFUSED: "once"})
        renewed = await self._renewals.renew(service, refused=token, note=note)
        if renewed.tokens.access_token == token:  # renewed less than a minute ago, and nobody refused it before
            await self._book.note(renewed, invalid=None, trouble=note, failures=0, next_try=None)
        return _access(renewed)

    async def condemned(self, service: ServiceId, token: Secret, trouble: Trouble) -> TokenUnavailableError:
        """Make the grant Invalid for ``trouble``: a mail server refused ``token`` in a way that no renewal cures.

        Returns the error to raise. Nothing happens to a grant that was deleted or renewed since.
        """
        grant = await self._book.grant(service)
        if grant is None:
            return TokenUnavailableError("MB-T54", service=service)
        if grant.invalid is not None or grant.tokens.access_token != token:
            return reasons.unavailable(grant)
        now = self._context.clock.now()
        reason = replace(trouble, since=now, next_try=now + schedule.INVALID_PAUSE)
        failures = grant.failures + 1
        if await self._book.note(grant, invalid=reason, trouble=None, failures=failures, next_try=reason.next_try):
            self._context.tell(service, ChangeKind.INVALID, code=reason.code)
        return reasons.as_error(reason, service=service)

    def _good(self, service: ServiceId) -> _Held | None:
        held = self._held.get(service)
        clock = self._context.clock
        if held is None or not 0 <= clock.monotonic() - held.checked < TRUST or clock.now() >= held.renew_at:
            return None
        return held

    async def _look_up(self, service: ServiceId) -> _Held:
        seen = self._changes
        grant = await self._grant(service)
        now = self._context.clock.now()
        if schedule.next_due(facts_of(grant), now, schedule.draw_for(service, grant.version)) <= now:
            grant = await self._renewed(grant)  # an Invalid one too, every hour: a lifted block heals by itself
        elif grant.invalid is not None or now >= _last_use(grant):
            raise reasons.unavailable(grant)
        held = self._hold(grant)
        if seen == self._changes:
            self._held[service] = held
        return held

    async def _grant(self, service: ServiceId) -> Grant:
        grant = await self._book.grant(service)
        if grant is None:
            raise TokenUnavailableError("MB-T54", service=service)
        return grant

    async def _usable_grant(self, service: ServiceId) -> Grant:
        grant = await self._grant(service)
        if grant.invalid is not None:
            raise reasons.unavailable(grant)
        return grant

    async def _renewed(self, grant: Grant, *, force: bool = False) -> Grant:
        try:
            return await self._renewals.renew(grant.service, force=force)
        except (TokenUnavailableError, StoreError):
            kept = await self._usable_grant(grant.service)
            if self._context.clock.now() >= _last_use(kept):
                raise
            return kept

    def _hold(self, grant: Grant) -> _Held:
        clock = self._context.clock
        due = schedule.next_due(facts_of(grant), clock.now(), schedule.draw_for(grant.service, grant.version))
        renew_at = min(due, _last_use(grant))
        return _Held(_access(grant), grant.provider, renew_at, clock.monotonic(), set())

    async def _check_server(self, held: _Held, server: str) -> None:
        provider, registration = await self._context.provider_of(held.provider)
        if not allows(provider, registration, server):
            raise ForeignServerError("MB-T40", host=server, provider=provider.name)
        held.servers.add(server)

    def _forget(self, change: Change) -> None:
        self._changes += 1
        self._held.pop(change.service, None)


_REFUSED = "refused"  # a field of the trouble that a first refusal leaves behind


def _access(grant: Grant) -> AccessToken:
    return AccessToken(grant.tokens.access_token, grant.tokens.expires_at)


def _last_use(grant: Grant) -> datetime:
    """Return until when the access token is given out: not to its very end, it would die on the way."""
    life = grant.tokens.expires_at - grant.refreshed_at
    return grant.tokens.expires_at - min(LAST_USE, life * LAST_USE_SHARE)


def _refused_before(grant: Grant) -> bool:
    return grant.trouble is not None and _REFUSED in grant.trouble.fields
