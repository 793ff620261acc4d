"""Whose tokens are these? ID tokens and the userinfo endpoint (OpenID Connect Core 1.0)."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from datetime import datetime

from mailbearer.errors import AuthorizationUnavailableError
from mailbearer.model.http import HttpRequest, HttpResponse
from mailbearer.model.secret import Secret
from mailbearer.protocol.oauth.json_object import read_object, text_in
from mailbearer.protocol.oauth.metadata import check_endpoint
from mailbearer.protocol.oauth.refusal import error_for, read_refusal

_ID_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*")  # RFC 7515 section 3.1
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+")
_NAMES = ("preferred_username", "upn", "unique_name")  # OpenID Connect; Microsoft's older two


def claims_of(id_token: Secret) -> dict[str, object]:
    """Return the claims of an ID token that came straight from the token endpoint over TLS.

    The signature is not checked, as OpenID Connect Core 3.1.3.7 item 6 allows for exactly this way.

    Raises:
        AuthorizationUnavailableError: MB-T44, it is no ID token.
    """
    match = _ID_TOKEN.fullmatch(id_token.reveal())
    if match is None:
        raise AuthorizationUnavailableError("MB-T44", problem="the ID token is malformed")
    try:
        payload = urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4))
    except ValueError as error:
        raise AuthorizationUnavailableError("MB-T44", problem="the ID token is malformed") from error
    return read_object(payload)


def account_in(claims: Mapping[str, object]) -> tuple[str, ...]:
    """Return the addresses that the account goes by, best first; an e-mail address that is not verified comes last."""
    unverified = claims.get("email_verified") in (False, "false")
    order = (*_NAMES, "email") if unverified else ("email", *_NAMES)
    found: dict[str, str] = {}
    for address in (text_in(claims, name) for name in order):
        if _ADDRESS.fullmatch(address):
            found.setdefault(address.casefold(), address)
    return tuple(found.values())


def userinfo_request(endpoint: str, access_token: Secret) -> HttpRequest:
    """Return the request for the claims of the account (OpenID Connect Core 5.3.1, RFC 6750 section 2.1)."""
    headers = {"accept": "application/json", "authorization": f"Bearer {access_token.reveal()}"}
    return HttpRequest("GET", check_endpoint(endpoint), headers)


def userinfo_claims(response: HttpResponse, *, now: datetime | None = None) -> dict[str, object]:
    """Return the claims that the userinfo endpoint gave.

    Raises:
        AuthorizationError: it refuses, or (unavailable) gave no usable answer.
    """
    if response.status != 200:
        raise error_for(read_refusal(response, now=now))
    return read_object(response.body)
