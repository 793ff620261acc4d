"""Refreshing an access token (RFC 6749 section 6). The answer is read by :mod:`.token_response`."""

from collections.abc import Sequence

from mailbearer.model.http import HttpRequest
from mailbearer.model.secret import Secret
from mailbearer.protocol.oauth.client_auth import ClientAuth, form_request


def refresh_request(
    endpoint: str, auth: ClientAuth, refresh_token: Secret, *, scopes: Sequence[str] = (), separator: str = " "
) -> HttpRequest:
    """Return the request for fresh tokens; without ``scopes`` for what was granted before."""
    parameters = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token.reveal(),
        "scope": separator.join(scopes),
    }
    return form_request(endpoint, auth, parameters)
