from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import InvalidInputError, NotFoundError
from mailbearer.model.grant import Flow
from mailbearer.model.provider import Endpoints, MailServer, Provider
from mailbearer.model.service import ServiceKind, TlsMode
from mailbearer.protocol.oauth.device import GRANT_TYPE
from mailbearer.protocol.oauth.metadata import Metadata
from mailbearer.providers.catalogue import load_catalogue
from mailbearer.providers.custom import custom_provider, from_json, to_json
from mailbearer.providers.quirks import Quirk

SERVERS = {
    ServiceKind.SMTP: (MailServer("smtp.example.com", 587, TlsMode.STARTTLS),),
    ServiceKind.POP: (MailServer("pop.example.com", 995, TlsMode.IMPLICIT),),
}
FOUND = Metadata(
    issuer="https://id.example.com",
    authorization_endpoint="https://id.example.com/auth",
    token_endpoint="https://id.example.com/token",
    device_authorization_endpoint="https://id.example.com/device",
    revocation_endpoint="https://id.example.com/revoke",
    userinfo_endpoint="https://id.example.com/me",
    iss_in_response=True,
    scopes_supported=("openid", "mail"),
    grant_types_supported=("authorization_code", "refresh_token", GRANT_TYPE),
)


def made(found: Metadata | Endpoints = FOUND) -> Provider:
    return custom_provider("office", "Our own", found=found, servers=SERVERS)


@pytest.mark.parametrize("provider", load_catalogue().all(), ids=lambda provider: provider.id)
def test_what_is_written_is_read_again(provider: Provider) -> None:
    assert from_json(to_json(provider)) == replace(provider, custom=True)


def test_a_discovery_document_makes_a_provider() -> None:
    provider = made()
    assert provider.custom
    assert provider.endpoints.token == "https://id.example.com/token"
    assert provider.endpoints.iss_in_response
    assert provider.family == "generic-oidc"
    assert Quirk.FILLED_AT_RUN_TIME not in provider.quirks


def test_a_code_comes_first_where_the_server_has_codes() -> None:
    assert [(advice.flow, advice.allowed) for advice in made().flows] == [(Flow.DEVICE, True), (Flow.CODE, True)]


def test_a_way_that_the_server_does_not_list_is_not_allowed() -> None:
    provider = made(replace(FOUND, grant_types_supported=("authorization_code",)))
    assert [advice.allowed for advice in provider.flows] == [False, True]


def test_a_server_that_lists_no_grants_has_those_it_has_endpoints_for() -> None:
    provider = made(replace(FOUND, grant_types_supported=(), authorization_endpoint=""))
    assert [advice.allowed for advice in provider.flows] == [True, False]


def test_only_scopes_that_the_server_lists_are_asked_for() -> None:
    assert made().refresh_scopes == ()
    assert made().identity_scopes == ("openid",)


def test_a_server_that_lists_no_scopes_is_asked_for_all() -> None:
    assert made(replace(FOUND, scopes_supported=())).refresh_scopes == ("offline_access",)


def test_endpoints_by_hand_make_a_provider_too() -> None:
    ends = Endpoints("", "", "https://id.example.com/token", "https://id.example.com/device", "")
    provider = custom_provider("practice", "Practice", found=ends, servers=SERVERS, scopes=("mail",), like="practice")
    assert provider.scopes[ServiceKind.POP] == ("mail",)
    assert provider.family == "practice"


def test_loopback_needs_no_https() -> None:
    ends = Endpoints("", "", "http://127.0.0.1:8080/token", "http://127.0.0.1:8080/device", "")
    assert made(ends).endpoints.token.startswith("http:")


def test_an_address_without_https_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="https"):
        made(replace(FOUND, token_endpoint="http://id.example.com/token"))


def test_a_bad_id_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        custom_provider("Our Office", "x", found=FOUND, servers={})


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(NotFoundError):
        custom_provider("office", "x", found=FOUND, servers={}, like="nobody")


@given(st.text(max_size=200))
def test_any_text_from_the_store_is_a_provider_or_our_error(text: str) -> None:
    with pytest.raises(InvalidInputError):
        from_json(text)
