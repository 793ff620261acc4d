import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import (
    AuthorizationError,
    AuthorizationUnavailableError,
    InvalidInputError,
    MailbearerError,
)
from mailbearer.model.http import HttpResponse
from mailbearer.protocol.oauth.metadata import (
    Metadata,
    check_endpoint,
    discovery_request,
    is_loopback,
    parse_metadata,
    well_known_urls,
)
from tests.protocol.oauth.answers import answer, responses

# RFC 8414 section 3.2, with what RFC 8628 and RFC 9207 add
RFC_8414 = {
    "issuer": "https://server.example.com",
    "authorization_endpoint": "https://server.example.com/authorize",
    "token_endpoint": "https://server.example.com/token",
    "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
    "userinfo_endpoint": "https://server.example.com/userinfo",
    "jwks_uri": "https://server.example.com/jwks.json",
    "registration_endpoint": "https://server.example.com/register",
    "scopes_supported": ["openid", "profile", "email", "address", "phone", "offline_access"],
    "response_types_supported": ["code", "code token"],
    "grant_types_supported": ["authorization_code", "refresh_token"],
    "device_authorization_endpoint": "https://server.example.com/device_authorization",
    "authorization_response_iss_parameter_supported": True,
}
GOOGLE = {
    "issuer": "https://accounts.google.com",
    "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
    "device_authorization_endpoint": "https://oauth2.googleapis.com/device/code",
    "token_endpoint": "https://oauth2.googleapis.com/token",
    "userinfo_endpoint": "https://openidconnect.googleapis.com/v1/userinfo",
    "revocation_endpoint": "https://oauth2.googleapis.com/revoke",
    "scopes_supported": ["openid", "email", "profile"],
}
ISSUER = "https://server.example.com"
WELL_KNOWN = f"{ISSUER}/.well-known/oauth-authorization-server"


@given(responses, st.sampled_from([ISSUER, "https://login.example", "http://127.0.0.1:8080", "", "https://[half"]))
def test_any_answer_gives_metadata_or_our_error(response: HttpResponse, asked: str) -> None:
    try:
        metadata = parse_metadata(response, asked=asked)
    except MailbearerError as error:
        assert error.code in {"MB-T46", "MB-T47", "MB-T48"}
    else:
        assert metadata.issuer.rstrip("/") == asked
        assert metadata.token_endpoint


def test_the_document_of_rfc_8414_is_read() -> None:
    assert parse_metadata(answer(RFC_8414), asked=ISSUER) == Metadata(
        issuer=ISSUER,
        authorization_endpoint=f"{ISSUER}/authorize",
        token_endpoint=f"{ISSUER}/token",
        device_authorization_endpoint=f"{ISSUER}/device_authorization",
        revocation_endpoint="",
        userinfo_endpoint=f"{ISSUER}/userinfo",
        iss_in_response=True,
        scopes_supported=("openid", "profile", "email", "address", "phone", "offline_access"),
        grant_types_supported=("authorization_code", "refresh_token"),
    )


def test_google_keeps_its_endpoints_on_other_hosts() -> None:
    metadata = parse_metadata(answer(GOOGLE), asked="https://accounts.google.com/.well-known/openid-configuration")
    assert metadata.revocation_endpoint == "https://oauth2.googleapis.com/revoke"
    assert not metadata.iss_in_response
    assert metadata.grant_types_supported == ()


@pytest.mark.parametrize(
    ("asked", "issuer"),
    [
        ("https://a.example", "https://a.example"),
        ("https://a.example/", "https://a.example"),
        ("https://a.example", "https://a.example/"),  # Auth0
        ("https://a.example/.well-known/openid-configuration", "https://a.example/"),
        ("https://a.example/realms/b/.well-known/openid-configuration", "https://a.example/realms/b"),
        ("https://a.example/.well-known/oauth-authorization-server/realms/b", "https://a.example/realms/b"),
        ("https://a.example/.well-known/openid-configuration/b", "https://a.example/b"),
    ],
)
def test_issuer_and_discovery_address_stand_for_each_other(asked: str, issuer: str) -> None:
    document = {"issuer": issuer, "token_endpoint": "https://a.example/token"}
    assert parse_metadata(answer(document), asked=asked).issuer == issuer


@pytest.mark.parametrize("told", ["https://evil.example", "https://server.example.com.evil.example", "", None, 5, []])
def test_another_issuer_is_refused(told: object) -> None:
    with pytest.raises(AuthorizationError) as caught:
        parse_metadata(answer({**RFC_8414, "issuer": told}), asked=WELL_KNOWN)
    assert caught.value.code == "MB-T47"
    assert caught.value.fields["asked"] == ISSUER


@pytest.mark.parametrize("status", [204, 301, 400, 404])
def test_no_document_is_an_unusable_document(status: int) -> None:
    with pytest.raises(AuthorizationError) as caught:
        parse_metadata(answer(RFC_8414, status), asked=ISSUER)
    assert caught.value.code == "MB-T48"
    assert not isinstance(caught.value, AuthorizationUnavailableError)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_no_document_just_now_is_worth_another_try(status: int) -> None:
    with pytest.raises(AuthorizationUnavailableError) as caught:
        parse_metadata(answer(b"busy", status), asked=ISSUER)
    assert caught.value.code == "MB-T48"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"[" * 100_000, b'{"issuer":"a","issuer":"b"}'])
def test_a_broken_document_says_what_is_wrong(body: bytes) -> None:
    with pytest.raises(AuthorizationError) as caught:
        parse_metadata(answer(body), asked=ISSUER)
    assert caught.value.code == "MB-T48"
    assert "JSON" in str(caught.value.fields["problem"])


def test_a_document_without_token_endpoint_is_unusable() -> None:
    with pytest.raises(AuthorizationError) as caught:
        parse_metadata(answer({"issuer": ISSUER, "token_endpoint": ["x"]}), asked=ISSUER)
    assert caught.value.fields["problem"] == "no token_endpoint"


@pytest.mark.parametrize("name", ["token_endpoint", "device_authorization_endpoint", "userinfo_endpoint"])
@pytest.mark.parametrize("url", ["http://server.example.com/token", "http://127.0.0.1/token", "javascript:alert(1)"])
def test_an_endpoint_that_is_not_https_is_refused(name: str, url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_metadata(answer({**RFC_8414, name: url}), asked=ISSUER)
    assert caught.value.code == "MB-T46"


def test_a_server_on_this_machine_may_speak_http() -> None:
    issuer = "http://127.0.0.1:8080"
    document = {"issuer": issuer, "token_endpoint": f"{issuer}/token"}
    assert parse_metadata(answer(document), asked=issuer).token_endpoint == f"{issuer}/token"


@given(st.text() | st.text(st.sampled_from("htps:/[]@#?%.\\127localhst")) | st.text().map("https://".__add__))
def test_any_text_is_an_endpoint_or_our_error(url: str) -> None:
    try:
        assert check_endpoint(url) == url
    except InvalidInputError as error:
        assert error.code == "MB-T46"
        str(error.fields["url"]).encode()
    else:
        assert url.lower().startswith(("https://", "http://"))


@pytest.mark.parametrize(
    "url",
    [
        "https://login.microsoftonline.com/organizations/oauth2/v2.0/token",
        "HTTPS://LOGIN.EXAMPLE",
        "https://10.0.0.5:8443/token?x=y",
        "https://[2001:db8::1]/token",
        "http://127.0.0.1:8080/token",
        "http://127.8.9.10/token",
        "http://[::1]:9/token",
        "http://localhost:9/token",
        "http://LocalHost/token",
    ],
)
def test_https_anywhere_and_http_here_are_fine(url: str) -> None:
    assert check_endpoint(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "login.example/token",
        "ftp://login.example/token",
        "http://login.example/token",
        "http://localhost.evil.example/token",
        "http://127.0.0.1.evil.example/token",
        "http://127.1/token",
        "http://2130706433/token",
        "http://0.0.0.0/token",
        "http://10.0.0.5/token",
        "http://127.0.0.1@evil.example/token",
        "http://evil.example\\@127.0.0.1/token",
        "https://user:pass@login.example/token",
        "https://login.example/token#fragment",
        "https://login.example:70000/token",
        "https://login.example:x/token",
        "https://[half/token",
        "https://login.example/to ken",
        "https://login.example/\r\nHost: evil.example",
        "https://lögin.example/token",
        "https://login.example/" + "x" * 3_000,
    ],
)
def test_every_other_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_endpoint(url)
    assert caught.value.code == "MB-T46"


def test_loopback_is_known_by_number_not_by_resemblance() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert is_loopback("localhost")
    assert not is_loopback("128.0.0.1")
    assert not is_loopback("localhost.example")
    assert not is_loopback("")


@pytest.mark.parametrize(
    ("asked", "urls"),
    [
        (
            "https://a.example",
            (
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
        ),
        (
            "https://a.example:8443/realms/b/",
            (
                "https://a.example:8443/realms/b/.well-known/openid-configuration",
                "https://a.example:8443/.well-known/oauth-authorization-server/realms/b",
            ),
        ),
        (WELL_KNOWN, (WELL_KNOWN,)),
    ],
)
def test_both_well_known_addresses_are_tried(asked: str, urls: tuple[str, ...]) -> None:
    assert well_known_urls(asked) == urls


def test_discovery_over_http_is_refused_before_asking() -> None:
    for ask in (well_known_urls, discovery_request):
        with pytest.raises(InvalidInputError) as caught:
            ask("http://login.example")
        assert caught.value.code == "MB-T46"


def test_discovery_is_a_plain_get() -> None:
    request = discovery_request(WELL_KNOWN)
    assert (request.method, request.url, request.body) == ("GET", WELL_KNOWN, b"")
    assert request.headers["accept"] == "application/json"
