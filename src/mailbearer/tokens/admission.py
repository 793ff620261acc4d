"""Signing in to a mail server with a token: one forced renewal when it is refused, and what the refusal means then."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from mailbearer.clock import Clock
from mailbearer.errors import MailbearerError, SignInRefusedError
from mailbearer.model.grant import Trouble
from mailbearer.model.provider import Provider, Registration
from mailbearer.model.service import Service, ServiceId, ServiceKind
from mailbearer.protocol.sasl.mechanism import Mechanism
from mailbearer.protocol.sasl.oauthbearer import OAuthBearer
from mailbearer.protocol.sasl.xoauth2 import XOAuth2
from mailbearer.providers.diagnosis import Layer, Verdict, read_mail_refusal
from mailbearer.tokens.source import AccessToken, TokenSource

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where rooms that sign in look things up: services with their passwords, providers, tokens."""

    service_of: Callable[[ServiceId], Awaitable[Service]]
    provider_of: Callable[[str], Awaitable[tuple[Provider, Registration]]]
    tokens: TokenSource


def mechanism_of(name: str, user: str, server: tuple[str, int], access: AccessToken) -> Mechanism:
    """Return the SASL mechanism ``name`` with the token of ``user``; ``server`` is host and port."""
    if name.upper() == "OAUTHBEARER":
        return OAuthBearer(user, server[0], server[1], access.token)
    return XOAuth2(user, access.token)


RENEW = "force_refresh"  # how the actions of the table begin that want a new token


async def admitted(  # noqa: PLR0913 - all of them are what an attempt consists of
    source: TokenSource,
    service: Service,
    *,
    server: str,
    provider: Provider,
    clock: Clock,
    attempt: Callable[[AccessToken], Awaitable[T]],
    life: timedelta = timedelta(),
) -> T:
    """Return what ``attempt`` returns, an attempt to sign in to ``server`` with the token of ``service``.

    The token is renewed first when it has less than ``life`` left. When the server refuses it, it is renewed and tried
    once more, on a connection that ``attempt`` opens anew.

    Raises:
        TokenUnavailableError: there is no token that can be used now; the mail waits.
        SignInRefusedError: the server refuses for another reason than the token; the error carries its code.
    """
    access = await source.access_token(service.id, server=server, life=life)
    try:
        return await attempt(access)
    except SignInRefusedError as refused:
        verdict = _verdict(refused, service, provider, fresh=False)
        if verdict.status == "invalid":
            raise await source.condemned(service.id, access.token, _trouble(verdict, refused, clock.now())) from refused
        if not verdict.action.startswith(RENEW):
            raise as_error(verdict, refused) from refused
        access = await source.refused(service.id, access.token, _trouble(verdict, refused, clock.now()))
    try:
        return await attempt(access)
    except SignInRefusedError as refused:
        verdict = _verdict(refused, service, provider, fresh=True)
        if verdict.status != "invalid":
            raise as_error(verdict, refused) from refused
        raise await source.condemned(service.id, access.token, _trouble(verdict, refused, clock.now())) from refused


def as_error(verdict: Verdict, refused: SignInRefusedError) -> MailbearerError:
    """Return ``refused`` with the code and the fields of what it means."""
    meant = SignInRefusedError(verdict.code, reply=refused.reply, challenge=refused.challenge)
    meant.fields.update({**refused.fields, **verdict.fields})  # not as arguments: ``reply`` is a field too
    return meant


def layer_of(service: Service) -> Layer:
    """Return which rules of the table are about the servers of ``service``."""
    return "smtp" if service.kind is ServiceKind.SMTP else "pop"


def _verdict(refused: SignInRefusedError, service: Service, provider: Provider, *, fresh: bool) -> Verdict:
    return read_mail_refusal(
        layer_of(service),
        refused.reply,
        refused.challenge,
        provider=provider,
        fresh=fresh,
        account=service.sasl_user,
    )


def _trouble(verdict: Verdict, refused: SignInRefusedError, now: datetime) -> Trouble:
    fields = {name: str(value) for name, value in {**refused.fields, **verdict.fields}.items()}
    return Trouble(verdict.code, now, fields=fields, detail=refused.reply)
