"""The authorization code grant (RFC 6749 section 4.1) with PKCE (RFC 7636) and issuer check (RFC 9207)."""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from mailbearer.errors import InvalidInputError, LocalProtocolError
from mailbearer.model.http import HttpRequest
from mailbearer.model.secret import Secret
from mailbearer.protocol.oauth.client_auth import ClientAuth, form_request
from mailbearer.protocol.oauth.metadata import check_endpoint
from mailbearer.protocol.oauth.refusal import error_for, refusal_in

MAX_CALLBACK = 256 * 1024  # characters of a callback address; codes of 64 KiB fit, percent-encoded
MAX_PARAMETERS = 100
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 section 4.1
_CODE = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A.11


def challenge_of(verifier: Secret) -> str:
    """Return the S256 code challenge (RFC 7636 section 4.2); ``plain`` is never used.

    Raises:
        LocalProtocolError: the verifier is not 43 to 128 unreserved characters.
    """
    if not _VERIFIER.fullmatch(verifier.reveal()):
        raise LocalProtocolError
    return urlsafe_b64encode(hashlib.sha256(verifier.reveal().encode()).digest()).rstrip(b"=").decode()


def authorization_url(  # noqa: PLR0913 - the parameters of RFC 6749 section 4.1.1, all needed
    endpoint: str,
    *,
    client_id: str,
    redirect_uri: str,
    scopes: Sequence[str],
    state: Secret,
    challenge: str,
    separator: str = " ",
    extra: Mapping[str, str] | None = None,
) -> str:
    """Return the address to open in a browser. It holds the state: show it to the person who asked, log it never.

    Raises:
        InvalidInputError: MB-T46, the endpoint is not https.
    """
    parameters = {
        **(extra or {}),
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": separator.join(scopes),
        "state": state.reveal(),
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    joint = "&" if urlsplit(check_endpoint(endpoint)).query else "?"  # RFC 6749 section 3.1: keep a query it has
    return f"{endpoint.rstrip('?')}{joint}{urlencode(parameters, quote_via=quote)}"


def parse_callback(url: str, *, state: Secret, issuer: str = "", iss_required: bool = False) -> Secret:
    """Return the authorization code in the address that the browser was sent to.

    ``url`` may be a whole address, also a pasted one, or its query. ``issuer`` is who we asked, empty when unknown.

    Raises:
        InvalidInputError: MB-T18, it is no such address; MB-T43, it answers another request or another server.
        AuthorizationError: the provider says no.
    """
    parameters = _parameters(url)
    code = parameters.get("code", "")
    if not code and not parameters.get("error"):
        raise InvalidInputError("MB-T18")
    if not state or Secret(parameters.get("state", "")) != state:
        raise InvalidInputError("MB-T43", problem="its state is not ours")
    if not _right_issuer(parameters.get("iss", ""), issuer, iss_required=iss_required):
        raise InvalidInputError("MB-T43", problem="it comes from another server than the one asked")
    if parameters.get("error"):
        raise error_for(refusal_in(parameters))
    if not _CODE.fullmatch(code):
        raise InvalidInputError("MB-T18")
    return Secret(code)


def code_request(
    endpoint: str,
    auth: ClientAuth,
    *,
    code: Secret,
    redirect_uri: str,
    verifier: Secret,
    extra: Mapping[str, str] | None = None,
) -> HttpRequest:
    """Return the request that exchanges a code for tokens (RFC 6749 section 4.1.3, RFC 7636 section 4.5)."""
    parameters = {
        **(extra or {}),
        "grant_type": "authorization_code",
        "code": code.reveal(),
        "redirect_uri": redirect_uri,
        "code_verifier": verifier.reveal(),
    }
    return form_request(endpoint, auth, parameters)


def _parameters(url: str) -> dict[str, str]:
    """Read the query strictly: each name once (RFC 6749 section 3.1), good UTF-8, bounded."""
    if len(url) > MAX_CALLBACK:
        raise InvalidInputError("MB-T18")
    before, mark, behind = "".join(url.split()).partition("#")[0].partition("?")  # a terminal may have broken lines
    query = behind if mark else before
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
        query.encode()
    except ValueError as error:
        raise InvalidInputError("MB-T18") from error
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise InvalidInputError("MB-T18")
    return parameters


def _right_issuer(told: str, issuer: str, *, iss_required: bool) -> bool:
    """RFC 9207 section 2.4 compares exactly; a server that never promised ``iss`` is held to its origin only."""
    if iss_required:
        return told == issuer
    return not told or not issuer or _origin(told) == _origin(issuer)


def _origin(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ("", url)
    return (parts.scheme, parts.netloc.lower())
