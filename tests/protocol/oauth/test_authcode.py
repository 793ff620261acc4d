from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
from hypothesis import example, given, strategies as st

from mailbearer.errors import (
    AuthorizationError,
    AuthorizationUnavailableError,
    InvalidInputError,
    LocalProtocolError,
    MailbearerError,
)
from mailbearer.model.secret import Secret
from mailbearer.protocol.oauth.authcode import authorization_url, challenge_of, code_request, parse_callback
from mailbearer.protocol.oauth.client_auth import ClientAuth
from tests.protocol.oauth.answers import form

STATE = Secret("xyz")
REDIRECT = "http://127.0.0.1:8400/"
ISSUER = "https://login.example"
VSCHARS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1)


def url_of(**parts: object) -> str:
    given = {"client_id": "me", "redirect_uri": REDIRECT, "scopes": ("a", "b"), "challenge": "c"} | parts
    return authorization_url(str(given.pop("endpoint", f"{ISSUER}/authorize")), state=STATE, **given)  # type: ignore[arg-type]


def test_the_challenge_of_rfc_7636_appendix_b() -> None:
    verifier = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize("verifier", ["", "a" * 42, "a" * 129, "a" * 42 + "=", "a" * 42 + "\n"])
def test_a_verifier_outside_rfc_7636_is_our_own_fault(verifier: str) -> None:
    with pytest.raises(LocalProtocolError):
        challenge_of(Secret(verifier))


def test_the_authorization_address_carries_everything() -> None:
    parts = urlsplit(url_of(extra={"access_type": "offline", "prompt": "consent", "state": "forged"}))
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://login.example/authorize"
    assert dict(parse_qsl(parts.query, strict_parsing=True)) == {
        "response_type": "code",
        "client_id": "me",
        "redirect_uri": REDIRECT,
        "scope": "a b",
        "state": "xyz",
        "code_challenge": "c",
        "code_challenge_method": "S256",
        "access_type": "offline",
        "prompt": "consent",
    }


def test_scopes_are_joined_as_the_provider_wants_them() -> None:
    assert "scope=a%2Cb&" in url_of(separator=",")
    assert "scope=a%20b&" in url_of()


@pytest.mark.parametrize(
    ("endpoint", "start"),
    [
        ("https://a.example/authorize?policy=b2c", "https://a.example/authorize?policy=b2c&response_type=code&"),
        ("https://a.example/authorize?", "https://a.example/authorize?response_type=code&"),
        ("https://a.example/authorize", "https://a.example/authorize?response_type=code&"),
    ],
)
def test_a_query_of_the_endpoint_is_kept(endpoint: str, start: str) -> None:
    assert url_of(endpoint=endpoint).startswith(start)


def test_nobody_is_sent_to_plain_http() -> None:
    with pytest.raises(InvalidInputError) as caught:
        url_of(endpoint="http://login.example/authorize")
    assert caught.value.code == "MB-T46"


@given(st.text() | st.text(st.sampled_from("code=&error%?#+xyzstai/:\ud800")), st.booleans())
@example("http://127.0.0.1/?code=%ff&state=xyz", False)
@example("http://127.0.0.1/?code=a&state=xyz&iss=https://[half", False)
@example("http://127.0.0.1/?" + "&" * 1_000, False)
def test_any_text_gives_a_code_or_our_error(url: str, iss_required: bool) -> None:
    try:
        code = parse_callback(url, state=STATE, issuer=ISSUER, iss_required=iss_required)
    except MailbearerError as error:
        assert error.code.startswith("MB-T")
    else:
        assert code
        assert "xyz" in url


@given(VSCHARS)
def test_every_code_arrives_as_it_was_sent(code: str) -> None:
    for encode in (urlencode({"code": code}), f"code={quote(code, safe='')}"):
        assert parse_callback(f"{REDIRECT}?{encode}&state=xyz", state=STATE) == Secret(code)


def test_the_callback_of_rfc_6749_section_4_1_2() -> None:
    url = "https://client.example.com/cb?code=SplxlOBeZQQYbYS6WxSbIA&state=xyz"
    assert parse_callback(url, state=STATE) == Secret("SplxlOBeZQQYbYS6WxSbIA")


@pytest.mark.parametrize(
    "pasted",
    [
        "http://127.0.0.1:8400/?code=4/0AX&state=xyz&scope=https://mail.google.com/#",
        "  http://127.0.0.1:8400/?code=4%2F0AX&state=xyz\r\n",
        "http://127.0.0.1:8400/?state=xyz&co\n  de=4/0AX",
        "/callback?code=4/0AX&state=xyz",
        "?code=4/0AX&state=xyz",
        "code=4/0AX&state=xyz",
    ],
)
def test_a_pasted_address_need_not_be_neat(pasted: str) -> None:
    assert parse_callback(pasted, state=STATE) == Secret("4/0AX")


def test_a_question_mark_may_stand_inside_a_code() -> None:
    assert parse_callback("http://127.0.0.1/?code=a?b&state=xyz", state=STATE) == Secret("a?b")


def test_a_code_of_64_kib_passes() -> None:
    assert parse_callback(f"{REDIRECT}?code={'x' * 65536}&state=xyz", state=STATE).reveal() == "x" * 65536


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://127.0.0.1:8400/",
        "http://127.0.0.1:8400/?state=xyz",
        "http://127.0.0.1:8400/?code=&state=xyz",
        "http://127.0.0.1:8400/?error=&state=xyz",
        "http://127.0.0.1:8400/#code=a&state=xyz",
        "http://127.0.0.1:8400/?code=a&code=b&state=xyz",
        "http://127.0.0.1:8400/?code=a&state=xyz&state=xyz",
        "http://127.0.0.1:8400/?code=%ff&state=xyz",
        "http://127.0.0.1:8400/?code=\ud800&state=xyz",
        "http://127.0.0.1:8400/?code=%00%0d%0a&state=xyz",
        "http://127.0.0.1:8400/?code=a&state=xyz&" + "&".join(f"p{n}=1" for n in range(200)),
        "http://127.0.0.1:8400/?state=xyz&code=" + "x" * 300_000,
        "https://login.example/authorize?client_id=me&state=xyz",
    ],
)
def test_an_address_without_a_code_is_not_the_last_page(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_callback(url, state=STATE)
    assert caught.value.code == "MB-T18"


@pytest.mark.parametrize("query", ["code=a", "code=a&state=", "code=a&state=XYZ", "error=access_denied&state=abc"])
def test_a_foreign_state_is_ignored_whatever_it_brings(query: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_callback(f"{REDIRECT}?{query}", state=STATE)
    assert caught.value.code == "MB-T43"


def test_an_empty_state_of_ours_matches_nothing() -> None:
    with pytest.raises(InvalidInputError):
        parse_callback(f"{REDIRECT}?code=a&state=", state=Secret(""))


@pytest.mark.parametrize(
    ("iss", "issuer", "required", "right"),
    [
        (ISSUER, ISSUER, True, True),
        (f"{ISSUER}/", ISSUER, True, False),  # RFC 9207 section 2.4: simple string comparison
        ("https://evil.example", ISSUER, True, False),
        (None, ISSUER, True, False),
        (ISSUER, "", True, False),
        (None, ISSUER, False, True),
        ("https://login.example/tenant/v2.0", ISSUER, False, True),
        ("https://evil.example", ISSUER, False, False),
        ("http://login.example", ISSUER, False, False),
        ("https://[half", ISSUER, False, False),
        ("https://evil.example", "", False, True),
    ],
)
def test_the_answer_must_come_from_the_server_that_was_asked(
    iss: str | None, issuer: str, required: bool, right: bool
) -> None:
    query = urlencode({"code": "a", "state": "xyz"} | ({"iss": iss} if iss else {}))
    if right:
        assert parse_callback(f"{REDIRECT}?{query}", state=STATE, issuer=issuer, iss_required=required)
    else:
        with pytest.raises(InvalidInputError) as caught:
            parse_callback(f"{REDIRECT}?{query}", state=STATE, issuer=issuer, iss_required=required)
        assert caught.value.code == "MB-T43"


def test_a_refusal_in_the_callback_is_the_providers_no() -> None:
    query = "error=access_denied&error_description=AADSTS65004%3A+User+declined+to+consent.&state=xyz"
    with pytest.raises(AuthorizationError) as caught:
        parse_callback(f"{REDIRECT}?{query}", state=STATE)
    assert caught.value.code == "MB-T03"
    assert caught.value.refusal.numbers == (65004,)


def test_a_busy_server_in_the_callback_is_worth_another_try() -> None:
    with pytest.raises(AuthorizationUnavailableError):
        parse_callback(f"{REDIRECT}?error=temporarily_unavailable&state=xyz", state=STATE)


def test_the_exchange_of_rfc_6749_section_4_1_3_with_its_verifier() -> None:
    request = code_request(
        "https://server.example.com/token",
        ClientAuth("s6BhdRkqt3", Secret("gX1fBat3bV")),
        code=Secret("SplxlOBeZQQYbYS6WxSbIA"),
        redirect_uri="https://client.example.com/cb",
        verifier=Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        extra={"scope": "a"},
    )
    assert form(request) == {
        "grant_type": "authorization_code",
        "code": "SplxlOBeZQQYbYS6WxSbIA",
        "redirect_uri": "https://client.example.com/cb",
        "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        "scope": "a",
        "client_id": "s6BhdRkqt3",
        "client_secret": "gX1fBat3bV",
    }
