import json
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import AuthorizationError, AuthorizationUnavailableError, InvalidInputError
from mailbearer.model.http import HttpResponse
from mailbearer.model.secret import Secret
from mailbearer.protocol.oauth.identity import account_in, claims_of, userinfo_claims, userinfo_request
from tests.protocol.oauth.answers import answer, bodies, responses


def id_token(payload: bytes) -> Secret:
    return Secret(f"eyJhbGciOiJub25lIn0.{urlsafe_b64encode(payload).rstrip(b'=').decode()}.")


@given(st.text() | st.text(st.sampled_from("aA0-_.=")))
def test_any_text_gives_claims_or_our_error(text: str) -> None:
    try:
        assert isinstance(claims_of(Secret(text)), dict)
    except AuthorizationUnavailableError as error:
        assert error.code == "MB-T44"


@given(bodies)
def test_any_payload_gives_claims_and_accounts_or_our_error(payload: bytes) -> None:
    try:
        claims = claims_of(id_token(payload))
    except AuthorizationUnavailableError as error:
        assert error.code == "MB-T44"
    else:
        assert all("@" in account for account in account_in(claims))


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=4))
def test_claims_are_read_as_they_were_written(claims: dict[str, str]) -> None:
    assert claims_of(id_token(json.dumps(claims).encode())) == claims


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c.d", "..", "a.!.c", "a.b=.c", "a.A.c", " a.e30.c", "a.e30.c\n"])
def test_what_is_no_id_token_is_a_strange_answer(token: str) -> None:
    with pytest.raises(AuthorizationUnavailableError) as caught:
        claims_of(Secret(token))
    assert caught.value.code == "MB-T44"


@pytest.mark.parametrize(
    ("claims", "accounts"),
    [
        ({}, ()),
        ({"email": "a@x.example", "email_verified": True}, ("a@x.example",)),
        ({"preferred_username": "a@x.example", "email": "b@x.example"}, ("b@x.example", "a@x.example")),
        (
            {"email": "b@x.example", "email_verified": False, "upn": "a@x.example"},
            ("a@x.example", "b@x.example"),
        ),
        ({"email": "b@x.example", "email_verified": "false", "upn": "a@x.example"}, ("a@x.example", "b@x.example")),
        ({"email": "b@x.example", "email_verified": [], "upn": "a@x.example"}, ("b@x.example", "a@x.example")),
        ({"email": "A@x.example", "preferred_username": "a@X.example"}, ("A@x.example",)),
        ({"email": "a@x.example", "upn": "b@x.example", "unique_name": "A@x.example"}, ("a@x.example", "b@x.example")),
        ({"preferred_username": "scanner", "email": 7, "upn": None}, ()),
        ({"upn": "ada_other.example#EXT#@x.example"}, ("ada_other.example#EXT#@x.example",)),
        ({"email": "a@b@c"}, ()),
    ],
)
def test_the_account_is_found_under_its_several_names(claims: dict[str, object], accounts: tuple[str, ...]) -> None:
    assert account_in(claims) == accounts


def test_the_userinfo_request_carries_the_token_in_its_header_and_prints_it_never() -> None:
    request = userinfo_request("https://server.example.com/userinfo", Secret("SlAV32hkKG"))
    assert (request.method, request.body) == ("GET", b"")
    assert request.headers["authorization"] == "Bearer SlAV32hkKG"
    assert "SlAV32hkKG" not in repr(request)


def test_a_token_never_goes_to_plain_http() -> None:
    with pytest.raises(InvalidInputError):
        userinfo_request("http://server.example.com/userinfo", Secret("a"))


@given(responses)
def test_any_userinfo_answer_gives_claims_or_our_error(response: HttpResponse) -> None:
    try:
        assert isinstance(userinfo_claims(response), dict)
    except AuthorizationError as error:
        assert error.code.startswith("MB-T")


def test_the_userinfo_answer_of_openid_connect_core_5_3_2() -> None:
    claims = userinfo_claims(answer({"sub": "248289761001", "email": "janedoe@example.com"}))
    assert account_in(claims) == ("janedoe@example.com",)


def test_userinfo_that_refuses_the_token_says_so() -> None:
    with pytest.raises(AuthorizationError) as caught:
        userinfo_claims(answer({"error": "invalid_token"}, 401))
    assert caught.value.code == "MB-T99"
