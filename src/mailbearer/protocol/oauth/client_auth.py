"""Client authentication in the body of a request (RFC 6749 section 2.3.1), and the form that carries it."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from mailbearer.model.http import HttpRequest
from mailbearer.model.secret import Secret
from mailbearer.protocol.oauth.metadata import check_endpoint


@dataclass(frozen=True, slots=True)
class ClientAuth:
    """Who asks. A public client has no secret."""

    client_id: str
    client_secret: Secret | None = None

    def parameters(self) -> dict[str, str]:
        """Return the body parameters (``client_secret_post``), secret revealed."""
        if not self.client_secret:
            return {"client_id": self.client_id}
        return {"client_id": self.client_id, "client_secret": self.client_secret.reveal()}


def form_request(endpoint: str, auth: ClientAuth, parameters: Mapping[str, str]) -> HttpRequest:
    """Return the POST of ``parameters`` with client authentication; parameters without value are left out.

    Raises:
        InvalidInputError: MB-T46, the endpoint is not https.
    """
    filled = {name: value for name, value in {**parameters, **auth.parameters()}.items() if value}
    headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
    return HttpRequest("POST", check_endpoint(endpoint), headers, urlencode(filled).encode())
