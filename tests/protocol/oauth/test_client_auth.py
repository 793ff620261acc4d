import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import InvalidInputError
from mailbearer.model.secret import Secret
from mailbearer.protocol.oauth.client_auth import ClientAuth, form_request
from tests.protocol.oauth.answers import form

ENDPOINT = "https://login.example/token"
FILLED = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(FILLED, FILLED, st.dictionaries(FILLED.map("x".__add__), FILLED, max_size=5))
def test_every_parameter_arrives_as_it_was(client_id: str, client_secret: str, parameters: dict[str, str]) -> None:
    request = form_request(ENDPOINT, ClientAuth(client_id, Secret(client_secret)), parameters)
    assert form(request) == {**parameters, "client_id": client_id, "client_secret": client_secret}
    assert request.body.isascii()


def test_a_public_client_sends_its_id_alone() -> None:
    assert form(form_request(ENDPOINT, ClientAuth("me"), {})) == {"client_id": "me"}
    assert form(form_request(ENDPOINT, ClientAuth("me", Secret("")), {})) == {"client_id": "me"}


def test_a_parameter_without_value_is_left_out() -> None:
    assert form(form_request(ENDPOINT, ClientAuth("me"), {"scope": "", "a": "b"})) == {"client_id": "me", "a": "b"}


def test_no_parameter_takes_the_place_of_the_client() -> None:
    assert form(form_request(ENDPOINT, ClientAuth("me"), {"client_id": "you"})) == {"client_id": "me"}


def test_a_secret_never_goes_to_plain_http() -> None:
    with pytest.raises(InvalidInputError) as caught:
        form_request("http://login.example/token", ClientAuth("me", Secret("s3cret")), {})
    assert caught.value.code == "MB-T46"


def test_neither_client_nor_request_prints_the_secret() -> None:
    auth = ClientAuth("me", Secret("s3cret"))
    assert "s3cret" not in repr(auth) + repr(form_request(ENDPOINT, auth, {}))
