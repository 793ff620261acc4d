import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import InvalidInputError
from mailbearer.model.provider import Registration
from mailbearer.providers.catalogue import load_catalogue
from mailbearer.providers.endpoints import discovery_url, resolve
from tests.providers.registrations import registration

MICROSOFT = load_catalogue().get("microsoft365")
KEYCLOAK = load_catalogue().get("keycloak")


def test_the_tenant_is_part_of_the_addresses() -> None:
    ends = resolve(MICROSOFT, registration(tenant="harbourclinic.example"))
    assert ends.token == "https://login.microsoftonline.com/harbourclinic.example/oauth2/v2.0/token"
    assert not ends.revocation


def test_without_a_tenant_the_default_is_taken() -> None:
    assert "/organizations/" in resolve(MICROSOFT, registration()).token
    assert "/consumers/" in resolve(load_catalogue().get("outlook-com"), registration()).token


def test_base_and_realm_are_filled_in_without_a_double_slash() -> None:
    ends = resolve(KEYCLOAK, registration())
    assert ends.token == "https://id.example.com/realms/office/protocol/openid-connect/token"
    assert ends.issuer == "https://id.example.com/realms/office"
    assert discovery_url(KEYCLOAK, registration()) == f"{ends.issuer}/.well-known/openid-configuration"


def test_a_missing_value_is_named() -> None:
    with pytest.raises(InvalidInputError, match="Server address"):
        resolve(KEYCLOAK, Registration("keycloak"))


def test_an_entry_without_endpoints_says_where_they_come_from() -> None:
    with pytest.raises(InvalidInputError, match="discovery document"):
        resolve(load_catalogue().get("oidc"), registration())


@pytest.mark.parametrize("base", ["http://id.example.com", "ftp://id.example.com", "id.example.com"])
def test_an_address_that_is_not_https_is_refused(base: str) -> None:
    with pytest.raises(InvalidInputError):
        resolve(KEYCLOAK, Registration("keycloak", values={"base": base, "realm": "office"}))


@pytest.mark.parametrize("tenant", ["a/b", "../common", "a?b", "a#b", "a b", "a@b", "a%2fb", "-", "ä.example"])
def test_a_tenant_cannot_lead_elsewhere(tenant: str) -> None:
    with pytest.raises(InvalidInputError, match="Tenant"):
        resolve(MICROSOFT, registration(tenant=tenant))


@given(st.text(max_size=40))
def test_any_tenant_stays_with_microsoft_or_is_refused(tenant: str) -> None:
    try:
        ends = resolve(MICROSOFT, registration(tenant=tenant))
    except InvalidInputError:
        return
    assert ends.token.startswith("https://login.microsoftonline.com/")
    assert ends.token.endswith("/oauth2/v2.0/token")
    assert ends.token.count("/") == 6
