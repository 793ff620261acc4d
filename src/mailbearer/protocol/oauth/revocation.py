"""Token revocation (RFC 7009)."""

from mailbearer.model.http import HttpRequest, HttpResponse
from mailbearer.model.secret import Secret
from mailbearer.protocol.oauth.client_auth import ClientAuth, form_request
from mailbearer.protocol.oauth.refusal import read_refusal


def revocation_request(endpoint: str, auth: ClientAuth, token: Secret, *, hint: str = "refresh_token") -> HttpRequest:
    """Return the request that ends a token, and with a refresh token its grant (RFC 7009 section 2.1)."""
    return form_request(endpoint, auth, {"token": token.reveal(), "token_type_hint": hint})


def revocation_outcome(response: HttpResponse) -> bool:
    """Is the token dead now? True also when it was so before (RFC 7009 section 2.2; Google says ``invalid_token``)."""
    return 200 <= response.status < 300 or read_refusal(response).error == "invalid_token"
