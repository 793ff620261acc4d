"""The device authorization grant (RFC 8628): requests as values, responses as outcomes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailbearer.errors import AuthorizationError, AuthorizationUnavailableError, InvalidInputError
from mailbearer.model.grant import DeviceSignIn
from mailbearer.model.http import HttpRequest, HttpResponse
from mailbearer.model.secret import Secret
from mailbearer.model.token import TokenSet
from mailbearer.protocol.oauth.client_auth import ClientAuth, form_request
from mailbearer.protocol.oauth.json_object import raw_text_in, read_object, seconds_in, text_in
from mailbearer.protocol.oauth.metadata import check_endpoint
from mailbearer.protocol.oauth.refusal import error_for, read_refusal, refusal_in, says_no, strange
from mailbearer.protocol.oauth.token_response import DEFAULT_LIFETIME, lifetime_in, parse_token_response, token_in

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
DEFAULT_INTERVAL = timedelta(seconds=5)  # RFC 8628 section 3.2
MIN_INTERVAL = timedelta(seconds=1)
MAX_INTERVAL = timedelta(minutes=5)  # what is longer outlives the code
SLOW_DOWN_STEP = timedelta(seconds=5)  # RFC 8628 section 3.5
MAX_BACKOFF = timedelta(seconds=60)
CODE_LIFETIME = timedelta(minutes=15)  # Microsoft's, when a server forgets to say
MAX_CODE_LIFETIME = timedelta(days=1)
MAX_USER_CODE = 64  # characters that a person is asked to type


@dataclass(frozen=True, slots=True)
class Granted:
    """The user confirmed."""

    tokens: TokenSet


@dataclass(frozen=True, slots=True)
class KeepWaiting:
    """Ask again no sooner than ``interval`` from now; use it for all later polls too."""

    interval: timedelta


PollOutcome = Granted | KeepWaiting


def device_request(
    endpoint: str,
    auth: ClientAuth,
    *,
    scopes: Sequence[str],
    separator: str = " ",
    extra: Mapping[str, str] | None = None,
) -> HttpRequest:
    """Return the device authorization request (RFC 8628 section 3.1)."""
    return form_request(endpoint, auth, {**(extra or {}), "scope": separator.join(scopes)})


def parse_device_response(response: HttpResponse, *, now: datetime) -> tuple[DeviceSignIn, datetime]:
    """Read the answer to a device authorization request: what to show, and when the code ends.

    Raises:
        AuthorizationError: the server refuses, or (unavailable) gave no usable answer.
        InvalidInputError: MB-T46, the page to visit is not https.
    """
    if not 200 <= response.status < 300:
        raise error_for(read_refusal(response, now=now))
    answer = read_object(response.body)
    if says_no(answer, wanted="device_code"):
        raise error_for(refusal_in(answer, status=response.status))
    device_code = token_in(response, answer, "device_code")
    user_code = text_in(answer, "user_code")
    page = raw_text_in(answer, "verification_uri") or raw_text_in(answer, "verification_url")  # Google, Yandex
    if device_code is None or not user_code or len(user_code) > MAX_USER_CODE or not page:
        raise strange(response, "no device code, user code or verification address")
    sign_in = DeviceSignIn(
        device_code=device_code,
        user_code=user_code,
        verification_uri=check_endpoint(page),
        verification_uri_complete=_complete_uri(answer),
        interval=_interval_in(answer),
        message=text_in(answer, "message"),
    )
    return sign_in, now + lifetime_in(answer, default=CODE_LIFETIME, limit=MAX_CODE_LIFETIME)


def poll_request(endpoint: str, auth: ClientAuth, device_code: Secret) -> HttpRequest:
    """Return one poll of the token endpoint (RFC 8628 section 3.4)."""
    return form_request(endpoint, auth, {"grant_type": GRANT_TYPE, "device_code": device_code.reveal()})


def poll_outcome(
    response: HttpResponse, *, interval: timedelta, now: datetime, default_lifetime: timedelta = DEFAULT_LIFETIME
) -> PollOutcome:
    """Read the answer to one poll that came at ``now`` (UTC, aware).

    Raises:
        AuthorizationError: the user said no, the code is too old, or anything else that polling cannot cure.
    """
    try:
        return Granted(parse_token_response(response, now=now, default_lifetime=default_lifetime))
    except AuthorizationError as error:
        match error.refusal.error:
            case "authorization_pending":
                return KeepWaiting(interval)
            case "slow_down":
                return KeepWaiting(interval + SLOW_DOWN_STEP)
            case _ if isinstance(error, AuthorizationUnavailableError):
                asked = timedelta(seconds=error.refusal.retry_after or 0)
                return KeepWaiting(max(backed_off(interval), min(asked, MAX_INTERVAL)))
            case _:
                raise


def backed_off(interval: timedelta) -> timedelta:
    """Return the interval after a poll without usable answer: doubled, up to a minute (RFC 8628 section 3.5)."""
    return max(interval, min(interval * 2, MAX_BACKOFF))


def _complete_uri(answer: Mapping[str, object]) -> str:
    uri = raw_text_in(answer, "verification_uri_complete") or raw_text_in(answer, "verification_url_complete")
    try:
        return check_endpoint(uri)
    except InvalidInputError:
        return ""  # optional (RFC 8628 section 3.2): without it the code is typed


def _interval_in(answer: Mapping[str, object]) -> timedelta:
    seconds = seconds_in(answer, "interval")
    if seconds is None:
        return DEFAULT_INTERVAL
    return min(max(timedelta(seconds=seconds), MIN_INTERVAL), MAX_INTERVAL)
