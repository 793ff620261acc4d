"""From what went wrong to what is kept and shown: troubles, and when to try again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mailbearer.errors import (
    AuthorizationError,
    AuthorizationUnavailableError,
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    MailbearerError,
    Refusal,
    TokenUnavailableError,
)
from mailbearer.model.grant import Grant, Trouble
from mailbearer.model.provider import Provider
from mailbearer.providers import diagnosis
from mailbearer.providers.quirks import Quirk, has
from mailbearer.tokens import schedule

TRIED = "tried"  # fields of a trouble beside those of its sentences: when the last attempt was,
RETRY_AFTER = "retry_after"  # that the provider named the next time,
ANSWER = "answer"  # and that an answer may have been lost on the way
LOST = "lost"
_WITHDRAWN = frozenset({"MB-T07", "MB-T09"})  # the refusals that a used refresh token gets
_GATEWAY_STATUS = frozenset({200, 502, 504})  # the token endpoint behind it may well have answered


@dataclass(frozen=True, slots=True)
class Setback:
    """What a failed renewal makes of a grant: a reason to be Invalid, or a trouble beside the status."""

    trouble: Trouble
    invalid: bool


def setback(grant: Grant, error: MailbearerError, provider: Provider | None, now: datetime) -> Setback:
    """Return what ``error``, the end of a renewal of ``grant`` at ``now``, makes of it.

    ``provider`` is None when not even that could be found.
    """
    if isinstance(error, AuthorizationError) and provider is not None:
        return _refused(grant, error, provider, now)
    passing = isinstance(error, ConnectError)
    pause = schedule.back_off(grant.failures + 1) if passing else schedule.TROUBLE_PAUSE
    told = {} if provider is None else {"provider": provider.name}
    return _setback(grant, trouble_of(error, now, fields=told), now, pause=pause, lost=_may_be_lost(error))


def _refused(grant: Grant, error: AuthorizationError, provider: Provider, now: datetime) -> Setback:
    verdict = diagnosis.read_refusal(
        error,
        provider=provider,
        phase="refresh",
        token_held=True,
        account=grant.account,
        flow=grant.flow,
        age=now - grant.obtained_at,
    )
    invalid = verdict.status == "invalid"
    trouble = trouble_of(error, now, code=verdict.code, fields=verdict.fields)
    if verdict.code in _WITHDRAWN and answer_was_lost(grant) and not has(provider, Quirk.OLD_REFRESH_TOKEN_STAYS_GOOD):
        trouble = replace(trouble, code="MB-T42")
    passing = verdict.passing or isinstance(error, AuthorizationUnavailableError)
    asked = None if error.refusal.retry_after is None else verdict.wait
    pause = schedule.back_off(grant.failures + 1, asked) if passing else schedule.TROUBLE_PAUSE
    if passing and verdict.wait is not None and verdict.wait >= pause:
        pause = min(verdict.wait, schedule.LONGEST_PAUSE)
        trouble = _with(trouble, RETRY_AFTER, "yes")
    return _setback(grant, trouble, now, invalid=invalid, pause=pause, lost=_may_be_lost(error))


def _setback(
    grant: Grant, trouble: Trouble, now: datetime, *, pause: timedelta, lost: bool, invalid: bool = False
) -> Setback:
    """Add what both kinds share: since when, when last, when next, and whether an answer is missing."""
    if lost or (answer_was_lost(grant) and not invalid):
        trouble = _with(trouble, ANSWER, LOST)
    before = grant.invalid if invalid else grant.trouble
    since = before.since if before is not None and before.code == trouble.code else now
    if invalid or grant.invalid is not None:
        pause = max(pause, schedule.INVALID_PAUSE)
    trouble = replace(_with(trouble, TRIED, now.isoformat()), since=since, next_try=now + pause)
    return Setback(trouble, invalid)


def trouble_of(
    error: MailbearerError, now: datetime, *, code: str = "", fields: Mapping[str, object] | None = None
) -> Trouble:
    """Return ``error`` as it is kept: code, the fields of its sentences as texts, the provider's own words."""
    refusal = error.refusal if isinstance(error, AuthorizationError) else Refusal()
    told = {**error.fields, **(fields or {})}
    return Trouble(
        code=code or error.code,
        since=now,
        fields={name: str(value) for name, value in told.items()},
        provider_error=refusal.error,
        number=refusal.numbers[0] if refusal.numbers else None,
        trace=refusal.trace,
        detail=error.detail,
    )


def answer_was_lost(grant: Grant) -> bool:
    """Did a renewal go out since the last success whose answer never came?"""
    return any(trouble is not None and trouble.fields.get(ANSWER) == LOST for trouble in (grant.trouble, grant.invalid))


def last_try(grant: Grant) -> datetime | None:
    """Return when the last renewal failed, None when it did not."""
    for trouble in (grant.trouble, grant.invalid):
        if trouble is not None and TRIED in trouble.fields:
            return datetime.fromisoformat(trouble.fields[TRIED])
    return None


def pause_is_the_providers(grant: Grant) -> bool:
    """Was the next try named by the provider (Retry-After)?"""
    return grant.trouble is not None and RETRY_AFTER in grant.trouble.fields


def unavailable(grant: Grant) -> TokenUnavailableError:
    """Return the error for whoever wants the token of a grant that has none to give now."""
    reason = grant.invalid or grant.trouble
    if reason is None:
        return TokenUnavailableError("MB-T24", service=grant.service)
    return as_error(reason, service=grant.service)


def as_error(reason: Trouble, *, service: str) -> TokenUnavailableError:
    """Return ``reason`` as an error again."""
    return TokenUnavailableError(reason.code, detail=reason.detail, **{"service": service, **reason.fields})


def _with(trouble: Trouble, name: str, value: str) -> Trouble:
    return replace(trouble, fields={**trouble.fields, name: value})


def _may_be_lost(error: MailbearerError) -> bool:
    match error:
        case ConnectionLostError() | DeadlineError():
            return True
        case AuthorizationUnavailableError(refusal=refusal):
            return refusal.status in _GATEWAY_STATUS
        case _:
            return False
