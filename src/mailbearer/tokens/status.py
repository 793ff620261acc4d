"""What every surface may tell of a token: the status word, and all that stands beside it. Never a secret."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mailbearer import sentences
from mailbearer.model.grant import CodeSignIn, DeviceSignIn, Flow, Grant, Pending, Trouble
from mailbearer.model.service import ServiceId
from mailbearer.model.token import TokenStatus
from mailbearer.store.grants import SealedGrant
from mailbearer.tokens import schedule
from mailbearer.tokens.book import GrantBook, facts_of
from mailbearer.tokens.context import Context


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is as it is: the code, what happened, why and what to do, who must do it."""

    code: str
    what: str
    why: str
    actor: str
    since: datetime
    provider_error: str = ""
    number: int | None = None
    trace: str = ""
    detail: str = ""
    next_try: datetime | None = None


@dataclass(frozen=True, slots=True)
class SignInFacts:
    """A sign-in under way, as much of it as the person who signs in must see."""

    id: str
    flow: Flow
    started_by: str
    started_at: datetime
    expires_at: datetime
    user_code: str = ""
    verification_uri: str = ""
    verification_uri_complete: str = ""
    message: str = ""
    authorization_url: str = ""
    redirect_uri: str = ""


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """Everything about the token of one service.

    ``reason`` says why it is Invalid, ``trouble`` what is wrong beside the status, ``last_sign_in`` why the last
    sign-in brought no token.
    """

    service: ServiceId
    status: TokenStatus
    reason: Reason | None = None
    trouble: Reason | None = None
    last_sign_in: Reason | None = None
    sign_in: SignInFacts | None = None
    held: bool = False  # a token is held, and used while another one is being obtained
    provider: str = ""
    account: str = ""
    account_confirmed: bool = False
    flow: Flow | None = None
    scopes: tuple[str, ...] = ()
    obtained_at: datetime | None = None
    refreshed_at: datetime | None = None
    next_renewal: datetime | None = None
    access_expires_at: datetime | None = None
    idle_dies_at: datetime | None = None


async def token_facts(context: Context, service: ServiceId) -> TokenFacts:
    """Return what there is to tell of the token of ``service``."""
    now = context.clock.now()
    grant = await context.store.grants.get(service)
    pending = await GrantBook(context.store, context.vault).pending(service)
    ended = await context.store.pendings.ended(service)
    if pending is not None and pending.expires_at <= now:
        pending = None  # nobody came; whoever polls will note it
    last = ended.trouble if ended is not None else None
    facts = TokenFacts(
        service=service,
        status=status_of(grant, waiting=pending is not None),
        sign_in=None if pending is None else _sign_in(pending),
        last_sign_in=None if last is None else reason_of(last),
    )
    return facts if grant is None else await _with_grant(context, facts, grant)


def status_of(grant: Grant | SealedGrant | None, *, waiting: bool) -> TokenStatus:
    """Return the one word (SPEC M7)."""
    if waiting:
        return TokenStatus.WAITING
    if grant is None:
        return TokenStatus.NOT_RETRIEVED
    return TokenStatus.RETRIEVED if grant.invalid is None else TokenStatus.INVALID


def reason_of(trouble: Trouble) -> Reason:
    """Return ``trouble`` with its sentences."""
    return Reason(
        code=trouble.code,
        what=sentences.what(trouble.code, trouble.fields),
        why=sentences.why(trouble.code, trouble.fields),
        actor=sentences.actor(trouble.code),
        since=trouble.since,
        provider_error=trouble.provider_error,
        number=trouble.number,
        trace=trouble.trace,
        detail=trouble.detail,
        next_try=trouble.next_try,
    )


async def _with_grant(context: Context, facts: TokenFacts, grant: SealedGrant) -> TokenFacts:
    provider, _ = await context.provider_of(grant.provider)
    idle_days = provider.idle_lifetime_days
    draw = schedule.draw_for(grant.service, grant.version)
    return replace(
        facts,
        reason=None if grant.invalid is None else reason_of(grant.invalid),
        trouble=None if grant.trouble is None else reason_of(grant.trouble),
        held=True,
        provider=grant.provider,
        account=grant.account,
        account_confirmed=grant.account_confirmed,
        flow=grant.flow,
        scopes=grant.scope,
        obtained_at=grant.obtained_at,
        refreshed_at=grant.refreshed_at,
        next_renewal=schedule.next_due(facts_of(grant), context.clock.now(), draw),
        access_expires_at=grant.access_expires_at,
        idle_dies_at=None if idle_days is None else grant.refreshed_at + timedelta(days=idle_days),
    )


def _sign_in(pending: Pending) -> SignInFacts:
    match pending.sign_in:
        case DeviceSignIn() as device:
            return SignInFacts(
                id=pending.id,
                flow=pending.flow,
                started_by=pending.started_by,
                started_at=pending.started_at,
                expires_at=pending.expires_at,
                user_code=device.user_code,
                verification_uri=device.verification_uri,
                verification_uri_complete=device.verification_uri_complete,
                message=device.message,
            )
        case CodeSignIn() as code:
            return SignInFacts(
                id=pending.id,
                flow=pending.flow,
                started_by=pending.started_by,
                started_at=pending.started_at,
                expires_at=pending.expires_at,
                authorization_url=code.authorization_url,
                redirect_uri=code.redirect_uri,
            )
