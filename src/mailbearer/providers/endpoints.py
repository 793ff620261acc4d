"""From the catalogue's templates to addresses: tenant, base address, realm … come from the registration."""

import re

from mailbearer.errors import InvalidInputError
from mailbearer.model.provider import Endpoints, Provider, Registration
from mailbearer.protocol.oauth.metadata import check_endpoint

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._~-]{0,252}[A-Za-z0-9_~-])?")  # one segment of a path, or a name
_ADDRESSES = frozenset({"base", "issuer"})
_TITLES = {
    "tenant": "Tenant",
    "base": "Server address",
    "realm": "Realm",
    "slug": "Application slug",
    "region": "Region",
    "issuer": "Issuer",
}


def resolve(provider: Provider, registration: Registration) -> Endpoints:
    """Return the endpoints of ``provider`` with every placeholder filled in.

    Raises:
        InvalidInputError: MB-W05 naming the value that is missing or wrong; MB-T46, an address is not https.
    """
    ends = provider.endpoints
    if not ends.token:
        problem = "it is not known yet; it comes from the discovery document, or is entered by hand"
        raise InvalidInputError("MB-W05", field="Token endpoint", problem=problem)
    values = _values(provider, registration)
    return Endpoints(
        issuer=_fill(ends.issuer, values),
        authorization=_address(ends.authorization, values),
        token=_address(ends.token, values),
        device_authorization=_address(ends.device_authorization, values),
        revocation=_address(ends.revocation, values),
        userinfo=_address(ends.userinfo, values),
        iss_in_response=ends.iss_in_response,
    )


def discovery_url(provider: Provider, registration: Registration) -> str:
    """Return the address of the provider's discovery document, empty when it has none.

    Raises:
        InvalidInputError: MB-W05 or MB-T46, as ``resolve``.
    """
    return _address(provider.discovery_url, _values(provider, registration))


def _values(provider: Provider, registration: Registration) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in provider.placeholders:
        given = (registration.tenant if name == "tenant" else registration.values.get(name, "")).strip()
        default = provider.tenant_default if name == "tenant" else ""
        found[name] = _checked(name, given or default)
    return found


def _checked(name: str, value: str) -> str:
    field = _TITLES.get(name, name)
    if not value:
        raise InvalidInputError("MB-W05", field=field, problem="enter it; the addresses of the provider need it")
    if name in _ADDRESSES:
        return check_endpoint(value if name == "issuer" else value.rstrip("/"))
    if not _PART.fullmatch(value):
        problem = "letters, digits, dots and hyphens only"
        raise InvalidInputError("MB-W05", field=field, problem=problem)
    return value


def _fill(template: str, values: dict[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda hole: values[hole[1]], template)


def _address(template: str, values: dict[str, str]) -> str:
    filled = _fill(template, values)
    return check_endpoint(filled) if filled else ""
