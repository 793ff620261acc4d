"""Authorization server metadata (RFC 8414, OpenID Connect Discovery 1.0), and which addresses may be used at all."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from mailbearer.errors import AuthorizationError, AuthorizationUnavailableError, InvalidInputError, Refusal
from mailbearer.model.http import HttpRequest, HttpResponse
from mailbearer.protocol.oauth.json_object import raw_text_in, read_object, shown, texts_in

MAX_URL = 2_048  # characters of an endpoint address
_OIDC = "/.well-known/openid-configuration"
_OAUTH = "/.well-known/oauth-authorization-server"
_URL = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://[!-~]+")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a discovery document says; an endpoint that the server does not have is empty."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    device_authorization_endpoint: str
    revocation_endpoint: str
    userinfo_endpoint: str
    iss_in_response: bool  # RFC 9207
    scopes_supported: tuple[str, ...]
    grant_types_supported: tuple[str, ...]


def check_endpoint(url: str) -> str:
    """Return ``url`` when secrets may be sent there: https, or http to this machine itself (RFC 8252 section 8.3).

    Raises:
        InvalidInputError: MB-T46, it is neither.
    """
    if len(url) <= MAX_URL and _URL.fullmatch(url):
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:  # port 70000, half an IPv6 address
            raise InvalidInputError("MB-T46", url=shown(url)) from error
        bare = "@" not in parts.netloc and "#" not in url and "\\" not in url
        if bare and host and (parts.scheme == "https" or is_loopback(host)):
            return url
    raise InvalidInputError("MB-T46", url=shown(url))


def is_loopback(host: str) -> bool:
    """Is ``host`` this machine itself, by number or as ``localhost``?"""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def well_known_urls(asked: str) -> tuple[str, ...]:
    """Return the addresses to try for an issuer, in order; a discovery address stands for itself."""
    check_endpoint(asked)
    if "/.well-known/" in asked:
        return (asked,)
    parts = urlsplit(asked)
    path = parts.path.rstrip("/")
    origin = f"{parts.scheme}://{parts.netloc}"
    return (f"{origin}{path}{_OIDC}", f"{origin}{_OAUTH}{path}")  # RFC 8414 section 3.1 puts the path behind


def discovery_request(url: str) -> HttpRequest:
    """Return the request for a discovery document."""
    return HttpRequest("GET", check_endpoint(url), {"accept": "application/json"})


def parse_metadata(response: HttpResponse, *, asked: str) -> Metadata:
    """Read the discovery document that came for ``asked``, an issuer or a discovery address.

    Raises:
        AuthorizationError: MB-T47, it speaks for another issuer; MB-T48, it cannot be used.
        AuthorizationUnavailableError: MB-T48, there is none just now.
        InvalidInputError: MB-T46, it names an address that is not https.
    """
    document = _document(response, asked)
    issuer = shown(raw_text_in(document, "issuer"))
    if issuer.rstrip("/") != _issuer_of(asked):  # RFC 8414 section 3.3; Auth0 ends its issuer with a slash
        raise AuthorizationError("MB-T47", asked=_issuer_of(asked), told=issuer)
    if not raw_text_in(document, "token_endpoint"):
        raise AuthorizationError("MB-T48", url=asked, problem="no token_endpoint")

    def endpoint(name: str) -> str:
        return _endpoint(raw_text_in(document, name), asked)

    return Metadata(
        issuer=issuer,
        authorization_endpoint=endpoint("authorization_endpoint"),
        token_endpoint=endpoint("token_endpoint"),
        device_authorization_endpoint=endpoint("device_authorization_endpoint"),
        revocation_endpoint=endpoint("revocation_endpoint"),
        userinfo_endpoint=endpoint("userinfo_endpoint"),
        iss_in_response=document.get("authorization_response_iss_parameter_supported") is True,
        scopes_supported=texts_in(document, "scopes_supported"),
        grant_types_supported=texts_in(document, "grant_types_supported"),
    )


def _document(response: HttpResponse, asked: str) -> dict[str, object]:
    refusal = Refusal(status=response.status)
    if response.status in {408, 429} or response.status >= 500:
        problem = f"HTTP {response.status}"
        raise AuthorizationUnavailableError("MB-T48", refusal=refusal, url=asked, problem=problem)
    if response.status != 200:
        raise AuthorizationError("MB-T48", refusal=refusal, url=asked, problem=f"HTTP {response.status}")
    try:
        return read_object(response.body)
    except AuthorizationUnavailableError as error:
        problem = str(error.fields["problem"])
        raise AuthorizationError("MB-T48", refusal=refusal, url=asked, problem=problem) from error


def _issuer_of(asked: str) -> str:
    """Take the well-known part out of an address, in whichever of its two places it stands."""
    for part in (_OIDC, _OAUTH):
        before, found, path = asked.partition(part)
        if found:
            return (before + path).rstrip("/")
    return asked.rstrip("/")


def _endpoint(url: str, asked: str) -> str:
    """A server elsewhere must not point us at plain http ports of this machine."""
    if url and check_endpoint(url)[:6].lower() != "https:" and asked[:6].lower() == "https:":
        raise InvalidInputError("MB-T46", url=shown(url))
    return url
