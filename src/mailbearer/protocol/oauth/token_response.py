"""Answers of the token endpoint (RFC 6749 sections 5.1 and 5.2), read as leniently as tokens allow."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from mailbearer.errors import AuthorizationError
from mailbearer.model.http import HttpResponse
from mailbearer.model.secret import Secret
from mailbearer.model.token import TokenSet
from mailbearer.protocol.oauth.json_object import MAX_ITEMS, raw_text_in, read_object, seconds_in, shown, texts_in
from mailbearer.protocol.oauth.refusal import error_for, read_refusal, refusal_in, says_no, strange

DEFAULT_LIFETIME = timedelta(hours=1)  # RFC 6749 leaves it to us; Google and Microsoft give about an hour
MAX_LIFETIME = timedelta(days=365)  # what is longer is absurd, and renewed after a year
MAX_TOKEN = 64 * 1024  # characters; the longest seen are Microsoft's, below 8,192
_TOKEN = re.compile(r"[\x21-\x7e]+")  # RFC 6749 appendix A.12 without the space, which no Bearer header can carry
_VSCHARS = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A.17


def parse_token_response(
    response: HttpResponse, *, now: datetime, default_lifetime: timedelta = DEFAULT_LIFETIME
) -> TokenSet:
    """Read the answer that came at ``now`` (UTC, aware).

    Raises:
        GrantRefusedError: only a new sign-in cures it.
        AuthorizationUnavailableError: no usable answer; ask again later.
        AuthorizationError: anything else that the server refuses.
    """
    if not 200 <= response.status < 300:
        raise error_for(read_refusal(response, now=now))
    answer = read_object(response.body)
    if says_no(answer, wanted="access_token"):
        raise error_for(refusal_in(answer, status=response.status))
    access_token = token_in(response, answer, "access_token", _TOKEN)
    if access_token is None:
        raise strange(response, "no access token")
    token_type = shown(raw_text_in(answer, "token_type"))
    if token_type and token_type.lower() != "bearer":  # RFC 6749 section 5.1: any letter case
        raise AuthorizationError("MB-T56", told=token_type)
    return TokenSet(
        access_token=access_token,
        expires_at=now + lifetime_in(answer, default=default_lifetime),
        refresh_token=token_in(response, answer, "refresh_token", _VSCHARS),
        scope=scope_in(answer),
        id_token=token_in(response, answer, "id_token", _TOKEN),
    )


def token_in(
    response: HttpResponse, answer: Mapping[str, object], name: str, form: re.Pattern[str] = _VSCHARS
) -> Secret | None:
    """Return the token or code of that name; None when it is missing, null or empty.

    Raises:
        AuthorizationUnavailableError: MB-T44, it holds what no token can hold.
    """
    value = answer.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > MAX_TOKEN or not form.fullmatch(value):
        raise strange(response, f"{name} is malformed")
    return Secret(value)


def lifetime_in(answer: Mapping[str, object], *, default: timedelta, limit: timedelta = MAX_LIFETIME) -> timedelta:
    """Return ``expires_in``: a number, a number as text; ``default`` when missing or absurd, never above ``limit``."""
    seconds = seconds_in(answer, "expires_in")
    return default if seconds is None else timedelta(seconds=min(seconds, limit.total_seconds()))


def scope_in(answer: Mapping[str, object]) -> tuple[str, ...]:
    """Return the granted scopes: text with spaces (RFC 6749 section 3.3), with commas (Zoho), or a list."""
    text = raw_text_in(answer, "scope").strip()
    separate = text.split() if " " in text else text.split(",")
    scopes = (*separate[:MAX_ITEMS], *texts_in(answer, "scope"))
    return tuple(scope for scope in map(shown, scopes) if scope)
