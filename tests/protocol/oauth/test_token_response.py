import json
from datetime import timedelta

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import AuthorizationError, AuthorizationUnavailableError, GrantRefusedError
from mailbearer.model.http import HttpResponse
from mailbearer.model.secret import Secret
from mailbearer.protocol.oauth.token_response import MAX_LIFETIME, MAX_TOKEN, parse_token_response
from tests.protocol.oauth.answers import NOW, answer, responses

# RFC 6749 section 5.1
RFC_6749 = b"""{
  "access_token":"2YotnFZFEjr1zCsicMWpAA",
  "token_type":"example",
  "expires_in":3600,
  "refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA",
  "example_parameter":"example_value"
}"""
# the form of Microsoft's answer (identity platform, refresh the access token)
MICROSOFT = {
    "access_token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiIsIng1dCI6Ik5HVEZ2ZEstZnl0aEV1Q",
    "token_type": "Bearer",
    "expires_in": 3599,
    "ext_expires_in": 3599,
    "scope": "https://outlook.office.com/SMTP.Send https://outlook.office.com/POP.AccessAsUser.All",
    "refresh_token": "AwABAAAAvPM1KaPlrEqdFSBzjqfTGAMxZGUTdM0t4B4",
    "id_token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0.eyJhdWQiOiIyZDRkMTFhMi1mODE0LTQ2YTctOD",
}
GOOGLE = {
    "access_token": "1/fFAGRNJru1FTz70BzhT3Zg",
    "expires_in": 3920,
    "scope": "https://mail.google.com/",
    "token_type": "Bearer",
    "refresh_token_expires_in": 604799,
}


@given(responses)
def test_any_answer_gives_tokens_or_our_error(response: HttpResponse) -> None:
    try:
        tokens = parse_token_response(response, now=NOW)
    except AuthorizationError as error:
        assert error.code.startswith("MB-T")
    else:
        assert tokens.access_token
        assert NOW <= tokens.expires_at <= NOW + MAX_LIFETIME
        assert tokens.refresh_token is None or tokens.refresh_token


@given(responses)
def test_only_an_answer_of_success_gives_tokens(response: HttpResponse) -> None:
    if not 200 <= response.status < 300:
        with pytest.raises(AuthorizationError):
            parse_token_response(response, now=NOW)


def test_microsoft_gives_everything() -> None:
    tokens = parse_token_response(answer(MICROSOFT), now=NOW)
    assert tokens.access_token == Secret(str(MICROSOFT["access_token"]))
    assert tokens.refresh_token == Secret(str(MICROSOFT["refresh_token"]))
    assert tokens.id_token == Secret(str(MICROSOFT["id_token"]))
    assert tokens.expires_at == NOW + timedelta(seconds=3599)
    assert tokens.scope == (
        "https://outlook.office.com/SMTP.Send",
        "https://outlook.office.com/POP.AccessAsUser.All",
    )


def test_google_keeps_the_refresh_token_to_itself_when_refreshed() -> None:
    tokens = parse_token_response(answer(GOOGLE), now=NOW)
    assert tokens.refresh_token is None
    assert tokens.id_token is None
    assert tokens.scope == ("https://mail.google.com/",)


def test_the_example_of_rfc_6749_is_no_bearer_token() -> None:
    with pytest.raises(AuthorizationError) as caught:
        parse_token_response(answer(RFC_6749), now=NOW)
    assert caught.value.code == "MB-T56"
    assert caught.value.fields == {"told": "example"}
    tokens = parse_token_response(answer(RFC_6749.replace(b'"example",', b'"bearer",')), now=NOW)
    assert tokens.access_token == Secret("2YotnFZFEjr1zCsicMWpAA")


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER", " Bearer ", "", None])
def test_bearer_may_be_written_in_any_letter_case_or_be_missing(token_type: str | None) -> None:
    assert parse_token_response(answer({"access_token": "a", "token_type": token_type}), now=NOW).access_token


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (3600, 3600),
        ("3600", 3600),
        (3600.5, 3600.5),
        (None, 1800),
        (0, 1800),
        (-1, 1800),
        (True, 1800),
        ("soon", 1800),
        ("", 1800),
        ([], 1800),
        (10**310, 1800),
        (10**14, 365 * 86400),
    ],
)
def test_a_lifetime_may_be_odd_missing_or_absurd(expires_in: object, seconds: float) -> None:
    content = {"access_token": "a", "expires_in": expires_in}
    tokens = parse_token_response(answer(content), now=NOW, default_lifetime=timedelta(minutes=30))
    assert tokens.expires_at == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("a b", ("a", "b")),
        (" a  b ", ("a", "b")),
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        ("a,x b", ("a,x", "b")),
        (["a", "b", 5, ""], ("a", "b")),
        ("", ()),
        (None, ()),
        (7, ()),
    ],
)
def test_scope_is_text_or_list(scope: object, scopes: tuple[str, ...]) -> None:
    assert parse_token_response(answer({"access_token": "a", "scope": scope}), now=NOW).scope == scopes


@pytest.mark.parametrize("size", [1, 2_600, 16 * 1024, 64 * 1024])
def test_long_tokens_pass(size: int) -> None:
    token = "x" * size
    tokens = parse_token_response(answer({"access_token": token, "refresh_token": token}), now=NOW)
    assert tokens.access_token.reveal() == token
    assert tokens.refresh_token == Secret(token)


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "id_token"])
@pytest.mark.parametrize("value", [7, ["a"], {"a": "b"}, True, "a\nb", "a\x01b", "ä", "a\x00", "x" * (MAX_TOKEN + 1)])
def test_a_malformed_token_is_a_strange_answer(name: str, value: object) -> None:
    with pytest.raises(AuthorizationUnavailableError) as caught:
        parse_token_response(answer({"access_token": "a", name: value}), now=NOW)
    assert caught.value.code == "MB-T44"
    assert caught.value.fields["problem"] == f"{name} is malformed"


@pytest.mark.parametrize("value", [None, ""])
def test_an_empty_refresh_token_is_none(value: str | None) -> None:
    tokens = parse_token_response(answer({"access_token": "a", "refresh_token": value}), now=NOW)
    assert tokens.refresh_token is None


@pytest.mark.parametrize("body", [b"", b"{}", b'{"access_token":""}', b'{"access_token":null}', b"<html>", b"[]"])
def test_success_without_a_token_is_a_strange_answer(body: bytes) -> None:
    with pytest.raises(AuthorizationUnavailableError) as caught:
        parse_token_response(answer(body), now=NOW)
    assert caught.value.code == "MB-T44"


def test_a_refusal_may_come_with_status_200() -> None:
    with pytest.raises(GrantRefusedError):
        parse_token_response(answer({"error": "invalid_grant"}), now=NOW)


def test_the_refusal_of_rfc_6749_is_read() -> None:
    with pytest.raises(AuthorizationError) as caught:
        parse_token_response(answer(b'{"error":"invalid_request"}', 400), now=NOW)
    assert caught.value.code == "MB-T35"
    assert caught.value.refusal.status == 400


def test_an_invalid_client_may_come_with_status_401() -> None:
    content = {"error": "invalid_client", "error_description": "client authentication failed"}
    with pytest.raises(AuthorizationError) as caught:
        parse_token_response(answer(content, 401, www_authenticate="Basic"), now=NOW)
    assert caught.value.code == "MB-T14"


def test_throttling_tells_when_to_come_back() -> None:
    with pytest.raises(AuthorizationUnavailableError) as caught:
        parse_token_response(answer(b"", 429, retry_after="17"), now=NOW)
    assert caught.value.refusal.retry_after == 17


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=30, max_size=80))
def test_no_error_prints_a_token(token: str) -> None:
    content = {"access_token": token, "refresh_token": token + "\n", "token_type": "Bearer"}
    with pytest.raises(AuthorizationUnavailableError) as caught:
        parse_token_response(answer(content), now=NOW)
    assert token not in str(caught.value) + repr(caught.value) + json.dumps(caught.value.fields) + caught.value.detail
