import pytest
from hypothesis import given

from mailbearer.model.http import HttpResponse
from mailbearer.model.secret import Secret
from mailbearer.protocol.oauth.client_auth import ClientAuth
from mailbearer.protocol.oauth.revocation import revocation_outcome, revocation_request
from tests.protocol.oauth.answers import answer, form, responses


def test_the_request_of_rfc_7009_section_2_1() -> None:
    request = revocation_request("https://server.example.com/revoke", ClientAuth("me"), Secret("45ghiukldjahdnhzdauz"))
    assert form(request) == {
        "token": "45ghiukldjahdnhzdauz",
        "token_type_hint": "refresh_token",
        "client_id": "me",
    }


@given(responses)
def test_any_answer_is_a_yes_or_a_no(response: HttpResponse) -> None:
    assert revocation_outcome(response) in {True, False}


@pytest.mark.parametrize(
    ("response", "dead"),
    [
        (answer(b""), True),
        (answer({}), True),
        (answer({"error": "invalid_token", "error_description": "Token expired or revoked"}, 400), True),  # Google
        (answer({"error": "unsupported_token_type"}, 400), False),
        (answer({"error": "invalid_client"}, 401), False),
        (answer(b"", 503, retry_after="Sun, 06 Nov 1994 08:49:37 GMT"), False),
        (answer(b"<html>", 404), False),
    ],
)
def test_a_token_is_dead_after_success_or_when_it_was_so_before(response: HttpResponse, dead: bool) -> None:
    assert revocation_outcome(response) is dead
