"""Deeds on tokens: plan and begin a sign-in, wait for it, bring a code back, tell, renew, delete."""

from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlsplit

from mailbearer.admin.directory import Directory
from mailbearer.admin.services import ServiceDesk
from mailbearer.admin.speech import Json, Who
from mailbearer.admin.views import time_text
from mailbearer.errors import ConflictError, InvalidInputError, TokenUnavailableError
from mailbearer.model.grant import Flow
from mailbearer.model.service import AuthMethod, Service, ServiceId
from mailbearer.protocol.oauth.metadata import is_loopback
from mailbearer.providers.flows import advice_on, offered
from mailbearer.providers.quirks import Quirk
from mailbearer.store.grants import SealedGrant
from mailbearer.tokens.context import Context
from mailbearer.tokens.obtain import SignIns
from mailbearer.tokens.refresh import Renewals
from mailbearer.tokens.remove import delete
from mailbearer.tokens.source import TokenSource
from mailbearer.tokens.status import Reason, SignInFacts, TokenFacts, token_facts

CALLBACK_PATH = "/oauth/callback"  # where the service itself takes a browser that comes back


@dataclass(frozen=True, slots=True)
class TokenWays:
    """The parts of the tokens room that deeds use."""

    sign_ins: SignIns
    renewals: Renewals
    source: TokenSource


class TokenDesk:
    """What an administrator does with tokens, and what he is told of them."""

    def __init__(self, context: Context, directory: Directory, services: ServiceDesk, ways: TokenWays) -> None:
        self._context = context
        self._directory = directory
        self._services = services
        self._renewals = ways.renewals
        self._source = ways.source
        self._sign_ins = ways.sign_ins

    async def facts(self, identity: str) -> dict[str, Json]:
        """Return all that may be told of the token of a service."""
        return facts_view(await token_facts(self._context, ServiceId(identity)))

    async def status(self, identity: str) -> dict[str, Json]:
        """Return the facts of one service, or of every one that signs in with OAuth 2.0 or holds a token."""
        if identity:
            service = await self._services.get(identity)
            return {"tokens": [await self.facts(service.id)]}
        return {"tokens": [facts_view(each) for each in await self._all()]}

    async def counts(self) -> dict[str, int]:
        """Return how many services have each token status."""
        return dict(Counter(each.status.value for each in await self._all()))

    async def _all(self) -> list[TokenFacts]:
        held = {grant.service for grant in await self._context.store.grants.all()}
        services = await self._context.store.services.all()
        shown = [each.id for each in services if each.settings.auth is AuthMethod.OAUTH2 or each.id in held]
        return [await token_facts(self._context, each) for each in shown]

    async def plan(self, identity: str, flow: str) -> dict[str, Json]:
        """Return which way a sign-in would go, and where its browser would come back to.

        Raises:
            InvalidInputError: MB-W05, no provider is chosen.
        """
        service = await self._services.get(identity)
        if not service.settings.provider:
            raise InvalidInputError("MB-W05", field="Provider", problem="choose one first")
        provider, registration = await self._directory.both(service.settings.provider)
        chosen = _flow(flow) or next((advice.flow for advice in offered(provider)), Flow.CODE)
        own = registration.redirect_uri
        parts = urlsplit(own)
        loopback = not own or (is_loopback(parts.hostname or "") and parts.path != CALLBACK_PATH)
        return {
            "flow": chosen,
            "redirect_uri": "" if loopback else own,
            "loopback_host": "localhost" if Quirk.LOOPBACK_BY_NAME in provider.quirks else "127.0.0.1",
            "warning": advice_on(provider, chosen).warning,
        }

    async def begin(self, identity: str, flow: str, *, redirect_uri: str, replace: bool, who: Who) -> dict[str, Json]:
        """Begin a sign-in and return what the person who signs in must see."""
        service = await self._services.get(identity)
        pending = await self._sign_ins.begin(
            service, flow=_flow(flow), by=who.name, replace=replace, redirect_uri=redirect_uri
        )
        provider = await self._directory.get(pending.provider)
        await self._audit(who, "token get", service, f"flow={pending.flow}, account={pending.account}")
        facts = await self.facts(identity)
        shown = facts["sign_in"]
        warning = advice_on(provider, pending.flow).warning
        return {"status": facts["status"], "pending": {**shown, "warning": warning} if isinstance(shown, dict) else {}}

    async def wait(self, identity: str) -> dict[str, Json]:
        """Wait for the end of the sign-in that is under way and return the facts of the new token."""
        await self._sign_ins.poll_until_done(ServiceId(identity))
        return await self.facts(identity)

    async def redirect(self, url: str, identity: str, *, who: Who) -> dict[str, Json]:
        """Take the address that the browser was sent to, and return the facts of the new token."""
        grant = await self._sign_ins.finish_redirect(url, service=ServiceId(identity) if identity else None)
        await self._audit(who, "token redirect", await self._services.get(grant.service), "")
        return await self.facts(grant.service)

    async def cancel(self, identity: str, *, who: Who) -> dict[str, Json]:
        """Give up the sign-in under way.

        Raises:
            ConflictError: MB-T52, none is.
        """
        service = await self._services.get(identity)
        if not await self._sign_ins.cancel(service.id, by=who.name):
            raise ConflictError("MB-T52", service=service.id)
        await self._audit(who, "token cancel", service, "")
        return await self.facts(identity)

    async def access(self, identity: str) -> dict[str, Json]:
        """Return an access token that is good now."""
        service = await self._services.get(identity)
        access = await self._source.access_token(service.id)
        return {"access_token": access.token.reveal(), "expires_at": time_text(access.expires_at)}

    async def refresh(self, identity: str, *, who: Who) -> dict[str, Json]:
        """Renew the token now; one that was renewed within the last minute is left alone."""
        service = await self._services.get(identity)
        before = await self._context.store.grants.get(service.id)
        grant = await self._renewals.renew(service.id, force=True)
        await self._audit(who, "token refresh", service, "")
        facts = await self.facts(identity)
        if facts["held"] is not True:  # deleted while it was renewed
            raise TokenUnavailableError("MB-T54", service=service.id)
        return {**facts, "renewed": before is None or grant.refreshed_at != before.refreshed_at}

    async def delete(self, identity: str, *, who: Who) -> dict[str, Json]:
        """Delete the token, here and where it can be revoked."""
        service = await self._services.get(identity)
        grants = {grant.service: grant for grant in await self._context.store.grants.all()}
        held = grants.pop(service.id, None)
        others: list[Json] = [each for each, grant in grants.items() if held is not None and _same_account(held, grant)]
        await self._audit(who, "token delete", service, "")
        revoked = await delete(self._context, service.id, who.name)
        return {**await self.facts(identity), "existed": held is not None, "revoked": revoked, "shared_with": others}

    async def _audit(self, who: Who, what: str, service: Service, detail: str) -> None:
        await self._context.store.audit.append(
            who=who.name, from_where=who.place, what=what, subject=service.id, detail=detail
        )


def _same_account(one: SealedGrant, other: SealedGrant) -> bool:
    return (one.provider, one.account.casefold()) == (other.provider, other.account.casefold())


def facts_view(facts: TokenFacts) -> dict[str, Json]:
    """Return token facts as JSON."""
    shown = facts.reason or facts.trouble or facts.last_sign_in
    return {
        "service": facts.service,
        "status": facts.status,
        "reason": _reason(facts.reason),
        "trouble": _reason(facts.trouble),
        "last_sign_in": _reason(facts.last_sign_in),
        "sign_in": _sign_in(facts.sign_in),
        "held": facts.held,
        "provider": facts.provider,
        "account": facts.account,
        "account_confirmed": facts.account_confirmed,
        "flow": facts.flow,
        "scopes": list(facts.scopes),
        "obtained_at": time_text(facts.obtained_at),
        "refreshed_at": time_text(facts.refreshed_at),
        "next_renewal": time_text(facts.next_renewal),
        "access_expires_at": time_text(facts.access_expires_at),
        "idle_dies_at": time_text(facts.idle_dies_at),
        "provider_error": shown.provider_error if shown is not None else "",
        "number": f"AADSTS{shown.number}" if shown is not None and shown.number is not None else "",
        "trace": shown.trace if shown is not None else "",
        "next_try": time_text(shown.next_try) if shown is not None else None,
    }


def _reason(reason: Reason | None) -> Json:
    if reason is None:
        return None
    return {
        "code": reason.code,
        "text": reason.what,
        "action": reason.why,
        "actor": reason.actor,
        "since": time_text(reason.since),
        "detail": reason.detail,
    }


def _sign_in(facts: SignInFacts | None) -> Json:
    if facts is None:
        return None
    return {
        "id": facts.id,
        "flow": facts.flow,
        "started_by": facts.started_by,
        "started_at": time_text(facts.started_at),
        "expires_at": time_text(facts.expires_at),
        "user_code": facts.user_code,
        "verification_uri": facts.verification_uri,
        "verification_uri_complete": facts.verification_uri_complete,
        "message": facts.message,
        "authorization_url": facts.authorization_url,
        "redirect_uri": facts.redirect_uri,
    }


def _flow(word: str) -> Flow | None:
    if not word:
        return None
    try:
        return Flow(word)
    except ValueError as error:
        raise InvalidInputError("MB-W05", field="Flow", problem=f"choose one of {', '.join(Flow)}") from error
