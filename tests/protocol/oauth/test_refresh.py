import pytest

from mailbearer.errors import InvalidInputError
from mailbearer.model.secret import Secret
from mailbearer.protocol.oauth.client_auth import ClientAuth
from mailbearer.protocol.oauth.refresh import refresh_request
from tests.protocol.oauth.answers import form

ENDPOINT = "https://server.example.com/token"


def test_the_request_of_rfc_6749_section_6() -> None:
    request = refresh_request(ENDPOINT, ClientAuth("s6BhdRkqt3"), Secret("tGzv3JOkF0XG5Qx2TlKWIA"))
    assert form(request) == {
        "grant_type": "refresh_token",
        "refresh_token": "tGzv3JOkF0XG5Qx2TlKWIA",
        "client_id": "s6BhdRkqt3",
    }


def test_scopes_are_joined_as_the_provider_wants_them() -> None:
    request = refresh_request(ENDPOINT, ClientAuth("me"), Secret("r"), scopes=("a", "b"), separator=",")
    assert form(request)["scope"] == "a,b"


def test_a_token_of_64_kib_is_sent_whole() -> None:
    token = "0/+=~" * 13_108
    assert form(refresh_request(ENDPOINT, ClientAuth("me"), Secret(token)))["refresh_token"] == token


def test_a_refresh_token_never_goes_to_plain_http() -> None:
    with pytest.raises(InvalidInputError):
        refresh_request("http://server.example.com/token", ClientAuth("me"), Secret("r"))
