"""What an authorization server answers instead of what was asked (RFC 6749 sections 4.1.2.1 and 5.2).

The word in ``error`` decides; the HTTP status only tells a passing fault from an answer. AADSTS numbers and texts are
kept for :mod:`mailbearer.providers.diagnosis`, which knows the provider and chooses finer words.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from mailbearer.errors import AuthorizationError, AuthorizationUnavailableError, GrantRefusedError, Refusal
from mailbearer.model.http import HttpResponse
from mailbearer.protocol.oauth.json_object import items_in, object_in, read_object, shown, text_in

MAX_NUMBERS = 10  # AADSTS numbers kept of one answer
MAX_RETRY_AFTER = 86_400.0  # seconds; a server that asks for more is asked again tomorrow
_PASSING_STATUS = frozenset({408, 429})  # beside all of 5xx
_PASSING_WORDS = frozenset(
    {
        "temporarily_unavailable",
        "server_error",
        "internal_failure",  # Google
        "slow_down",
        "rate_limit_exceeded",  # Google
    }
)
_REFUSED_WORDS = frozenset({"invalid_grant", "interaction_required", "consent_required", "login_required"})
_CODES: Mapping[str, str] = {
    "access_denied": "MB-T03",
    "authorization_declined": "MB-T03",  # Microsoft
    "expired_token": "MB-T02",
    "bad_verification_code": "MB-T02",  # Microsoft
    "invalid_client": "MB-T14",
    "deleted_client": "MB-T14",  # Google
    "disabled_client": "MB-T14",  # Google
    "unauthorized_client": "MB-T34",
    "invalid_scope": "MB-T19",
    "redirect_uri_mismatch": "MB-T16",  # Google
    "invalid_request": "MB-T35",
    "invalid_resource": "MB-T35",  # Microsoft
    "invalid_target": "MB-T35",  # RFC 8707
    "unsupported_grant_type": "MB-T35",
    "unsupported_response_type": "MB-T35",
}
_AADSTS = re.compile(r"AADSTS([0-9]{4,9})")
_TRACE = re.compile(r"(?:Trace|Correlation) ID: ([0-9A-Fa-f-]{8,64})")
_GUID = r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
_HARMLESS = re.compile(rf"{_GUID}|[^0-9]{{,39}}")
_LONG_RUN = re.compile(rf"{_GUID}(?:[.]{_GUID})+|[A-Za-z0-9_~+-]{{22,}}")  # 22 characters carry 128 bits
_HTTP_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def read_refusal(response: HttpResponse, *, now: datetime | None = None) -> Refusal:
    """Return what the answer says, with an empty ``error`` when it is no OAuth error answer.

    Without ``now`` a ``Retry-After`` that is a date is passed over.
    """
    retry_after = read_retry_after(response.headers.get("retry-after", ""), now=now)
    try:
        answer = read_object(response.body)
    except AuthorizationUnavailableError:
        return Refusal(status=response.status, retry_after=retry_after)
    return refusal_in(answer, status=response.status, retry_after=retry_after)


def refusal_in(answer: Mapping[str, object], *, status: int = 0, retry_after: float | None = None) -> Refusal:
    """Return what an error object says; the parameters of a callback address are one as well."""
    nested = object_in(answer, "error")  # Google's APIs: {"error": {"status": …, "message": …}}
    description = text_in(answer, "error_description") or text_in(nested, "message")
    return Refusal(
        error=_word(answer, nested),
        status=status,
        numbers=_numbers(answer, description),
        subtype=_redacted(text_in(answer, "error_subtype") or text_in(answer, "suberror")),
        trace=_trace(answer, description),
        retry_after=retry_after,
        description=_redacted(description),
    )


def error_for(refusal: Refusal) -> AuthorizationError:
    """Return the error to raise: refused for good, unavailable for now, or plainly no."""
    fields = _fields(refusal)
    if refusal.status in _PASSING_STATUS or refusal.status >= 500 or refusal.error in _PASSING_WORDS:
        return AuthorizationUnavailableError("MB-T24", refusal=refusal, **fields)
    if not refusal.error:
        problem = f"HTTP {refusal.status} without an OAuth 2.0 error"
        return AuthorizationUnavailableError("MB-T44", refusal=refusal, problem=problem)
    if refusal.error in _REFUSED_WORDS:
        return GrantRefusedError("MB-T07", refusal=refusal, **fields)
    return AuthorizationError(_CODES.get(refusal.error, "MB-T99"), refusal=refusal, **fields)


def says_no(answer: Mapping[str, object], *, wanted: str) -> bool:
    """Is this answer of success a refusal all the same? Some servers send every answer with status 200."""
    return not answer.get(wanted) and bool(answer.get("error"))


def strange(response: HttpResponse, problem: str) -> AuthorizationUnavailableError:
    """Return the error for an answer of success that does not hold what it must; ``problem`` completes MB-T44."""
    return AuthorizationUnavailableError("MB-T44", refusal=Refusal(status=response.status), problem=problem)


def read_retry_after(text: str, *, now: datetime | None) -> float | None:
    """Return the seconds that a ``Retry-After`` field asks for, as number or date (RFC 9110 section 10.2.3)."""
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,12}", text):
        return min(float(text), MAX_RETRY_AFTER)
    date = read_http_date(text)
    if date is None or now is None:
        return None
    return min(max((date - now).total_seconds(), 0.0), MAX_RETRY_AFTER)


def read_http_date(text: str) -> datetime | None:
    """Return the UTC time that an HTTP date names (RFC 9110 section 5.6.7, the form that is sent today)."""
    match = _HTTP_DATE.fullmatch(text.strip())
    if match is None or match[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(match[group]) for group in (1, 3, 4, 5, 6))
    try:
        return datetime(year, _MONTHS.index(match[2]) + 1, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None  # 31 February, 25 o'clock


def _fields(refusal: Refusal) -> dict[str, str]:
    """Fill the sentences: ``word`` and ``text`` for MB-T99, ``problem`` for the others."""
    problem = refusal.description or refusal.error or f"HTTP {refusal.status}"
    return {"word": refusal.error, "text": refusal.description, "problem": problem}


def _word(answer: Mapping[str, object], nested: Mapping[str, object]) -> str:
    word = text_in(answer, "error") or text_in(nested, "status") or text_in(answer, "error_code")
    return _redacted(word)[:100]


def _numbers(answer: Mapping[str, object], description: str) -> tuple[int, ...]:
    told = [item for item in items_in(answer, "error_codes") if isinstance(item, int) and 1_000 <= item < 10**9]
    told += [int(number) for number in _AADSTS.findall(description)]
    return tuple(dict.fromkeys(told))[:MAX_NUMBERS]


def _trace(answer: Mapping[str, object], description: str) -> str:
    named = text_in(answer, "trace_id") or text_in(answer, "correlation_id")
    in_text = _TRACE.search(description)
    return shown(named)[:100] or (in_text[1] if in_text else "")


def _redacted(text: str) -> str:
    """Some servers repeat in their text the token that they refuse; words, addresses and GUIDs stay."""
    return _LONG_RUN.sub(lambda run: run[0] if _HARMLESS.fullmatch(run[0]) else "***", text)
