"""The endpoints that programs talk to: discovery, device authorization, token, revocation, userinfo."""

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mailbearer.errors import AuthorizationError
from mailbearer.practice.authority import Authority, Issued, refuse
from mailbearer.practice.forms import bearer_in, client_in
from mailbearer.practice.identity import Signer, claims_about
from mailbearer.practice.options import SCOPES
from mailbearer.practice.sign_ins import SignIns

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"

Form = Mapping[str, str]


class Endpoints:
    """One method for each endpoint; a refusal is raised and answered by :func:`refusal_response`."""

    def __init__(self, authority: Authority, sign_ins: SignIns, issuer: str) -> None:
        self._authority = authority
        self._sign_ins = sign_ins
        self._issuer = issuer
        self._signer = Signer()
        self._grants: Mapping[str, Callable[[str, Form], tuple[Issued, str]]] = {
            DEVICE_GRANT: self._device_grant,
            "authorization_code": self._code_grant,
            "refresh_token": self._refresh_grant,
        }

    def metadata(self, _request: Request, _form: Form) -> Response:
        """Tell the addresses of everything (RFC 8414, OpenID Connect Discovery)."""
        return JSONResponse(
            {
                "issuer": self._issuer,
                "authorization_endpoint": f"{self._issuer}/authorize",
                "token_endpoint": f"{self._issuer}/token",
                "device_authorization_endpoint": f"{self._issuer}/device_authorization",
                "revocation_endpoint": f"{self._issuer}/revoke",
                "userinfo_endpoint": f"{self._issuer}/userinfo",
                "jwks_uri": f"{self._issuer}/jwks",
                "scopes_supported": list(SCOPES),
                "response_types_supported": ["code"],
                "grant_types_supported": list(self._grants),
                "token_endpoint_auth_methods_supported": ["none", "client_secret_post", "client_secret_basic"],
                "code_challenge_methods_supported": ["S256"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    def key_set(self, _request: Request, _form: Form) -> Response:
        """Tell the key that ID tokens are signed with."""
        return JSONResponse(self._signer.key_set())

    def device_authorization(self, request: Request, form: Form) -> Response:
        """Begin a device sign-in (RFC 8628 section 3.1)."""
        started = self._sign_ins.begin_device(self._client(request, form), form.get("scope", ""))
        options = self._authority.options
        return JSONResponse(
            {
                "device_code": started.device_code.reveal(),
                "user_code": started.user_code,
                "verification_uri": f"{self._issuer}/device",
                "verification_uri_complete": f"{self._issuer}/device?user_code={started.user_code}",
                "expires_in": int(options.device_ttl.total_seconds()),
                "interval": int(options.interval.total_seconds()),
            }
        )

    def token(self, request: Request, form: Form) -> Response:
        """Give out tokens (RFC 6749 section 5)."""
        grant = self._grants.get(form.get("grant_type", ""))
        client_id = self._client(request, form)
        if grant is None:
            raise refuse("unsupported_grant_type", f"The grant types here are: {' '.join(self._grants)}.")
        return JSONResponse(self._token_response(*grant(client_id, form)))

    def revoke(self, request: Request, form: Form) -> Response:
        """End a token; one that nobody knows is ended already (RFC 7009 section 2.2)."""
        self._client(request, form)
        self._authority.revoke(form.get("token", ""))
        return Response()

    def userinfo(self, request: Request, _form: Form) -> Response:
        """Tell whose token it is (OpenID Connect Core section 5.3)."""
        permission = self._authority.permission_of(bearer_in(request.headers.get("authorization", "")))
        return JSONResponse(claims_about(permission.account))

    def _client(self, request: Request, form: Form) -> str:
        client_id, secret = client_in(request.headers.get("authorization", ""), form)
        self._authority.check_client(client_id, secret)
        return client_id

    def _device_grant(self, client_id: str, form: Form) -> tuple[Issued, str]:
        return self._sign_ins.poll_device(client_id, form.get("device_code", "")), ""

    def _code_grant(self, client_id: str, form: Form) -> tuple[Issued, str]:
        return self._sign_ins.redeem(
            client_id,
            code=form.get("code", ""),
            redirect_uri=form.get("redirect_uri", ""),
            verifier=form.get("code_verifier", ""),
        )

    def _refresh_grant(self, client_id: str, form: Form) -> tuple[Issued, str]:
        token, scope = form.get("refresh_token", ""), form.get("scope", "")
        return self._authority.refresh(client_id=client_id, token=token, scope=scope), ""

    def _token_response(self, issued: Issued, nonce: str) -> dict[str, object]:
        options = self._authority.options
        answer: dict[str, object] = {
            "access_token": issued.access_token.reveal(),
            "token_type": "Bearer",
            "expires_in": int(options.access_ttl.total_seconds()),
        }
        if issued.refresh_token is not None:
            answer["refresh_token"] = issued.refresh_token.reveal()
        if options.names_scope:
            answer["scope"] = " ".join(issued.scopes)
        if "openid" in issued.scopes:
            answer["id_token"] = self._signer.id_token(
                issuer=self._issuer,
                client_id=issued.client_id,
                account=issued.account,
                nonce=nonce,
                now=self._authority.now(),
            )
        return answer


def refusal_response(error: AuthorizationError) -> Response:
    """Return the answer that tells ``error`` (RFC 6749 section 5.2, RFC 6750 section 3)."""
    refusal = error.refusal
    headers: dict[str, str] = {}
    if refusal.status == 401:
        scheme = "Bearer" if refusal.error == "invalid_token" else "Basic"
        headers["WWW-Authenticate"] = f'{scheme} realm="practice", error="{refusal.error}"'
    content = {"error": refusal.error, "error_description": refusal.description}
    return JSONResponse(content, status_code=refusal.status, headers=headers)
