import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import InvalidInputError, RemoteProtocolError
from mailbearer.model.secret import Secret
from mailbearer.protocol.lines import is_plain
from mailbearer.protocol.sasl.login import Login
from mailbearer.protocol.sasl.mechanism import Mechanism
from mailbearer.protocol.sasl.oauthbearer import OAuthBearer
from mailbearer.protocol.sasl.plain import Plain
from mailbearer.protocol.sasl.xoauth2 import XOAuth2

PLAIN_TEXT = st.text(min_size=1).filter(is_plain)
CONTROLS = st.sampled_from([*map(chr, range(32)), "\x7f", "\ud800"])


def every(user: str, secret: str) -> list[Mechanism]:
    token = Secret(secret)
    return [XOAuth2(user, token), OAuthBearer(user, "mail.example", 587, token), Plain(user, token), Login(user, token)]


def test_xoauth2_is_as_google_and_microsoft_document_it() -> None:
    mechanism = XOAuth2("scan@example.org", Secret("ya29.token"))
    assert mechanism.name == "XOAUTH2"
    assert mechanism.respond(b"") == b"user=scan@example.org\x01auth=Bearer ya29.token\x01\x01"


def test_oauthbearer_is_as_rfc_7628_section_4_1_shows_it() -> None:
    mechanism = OAuthBearer(
        "user@example.com", "server.example.com", 587, Secret("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")
    )
    assert mechanism.name == "OAUTHBEARER"
    assert mechanism.respond(b"") == (
        b"n,a=user@example.com,\x01host=server.example.com\x01port=587\x01"
        b"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
    )


@given(PLAIN_TEXT)
def test_the_user_name_of_oauthbearer_can_be_read_back(user: str) -> None:
    header = OAuthBearer(user, "h", 1, Secret("t")).respond(b"").decode().split("\x01")[0]
    flag, name, end = header.split(",")
    assert (flag, end) == ("n", "")
    assert name.removeprefix("a=").replace("=2C", ",").replace("=3D", "=") == user


@given(PLAIN_TEXT, PLAIN_TEXT)
def test_a_token_of_xoauth2_stands_in_its_own_field(user: str, token: str) -> None:
    fields = XOAuth2(user, Secret(token)).respond(b"").decode().split("\x01")
    assert fields == [f"user={user}", f"auth=Bearer {token}", "", ""]


def test_a_token_of_16_kib_passes() -> None:
    assert len(XOAuth2("a@b.example", Secret("t" * 16_384)).respond(b"")) > 16_384


@pytest.mark.parametrize(("number", "last"), [(0, b""), (1, b"\x01")])
def test_a_refusal_is_kept_and_answered_as_the_mechanism_asks(number: int, last: bytes) -> None:
    mechanism = every("a@b.example", "t")[number]
    mechanism.respond(b"")
    assert mechanism.failure == ""
    assert mechanism.respond(b'{"status":"401"}\xff') == last
    assert mechanism.failure == '{"status":"401"}\ufffd'


def test_plain_is_as_rfc_4616_shows_it() -> None:
    mechanism = Plain("tim", Secret("tanstaaftanstaaf"))
    assert (mechanism.name, mechanism.failure) == ("PLAIN", "")
    assert mechanism.respond(b"") == b"\0tim\0tanstaaftanstaaf"


def test_login_gives_the_name_then_the_password() -> None:
    mechanism = Login("tim", Secret("tanstaaf"))
    assert (mechanism.name, mechanism.failure) == ("LOGIN", "")
    assert [mechanism.respond(b"Username:"), mechanism.respond(b"Password:")] == [b"tim", b"tanstaaf"]


@pytest.mark.parametrize("number", range(4))
def test_a_server_that_goes_on_asking_is_refused(number: int) -> None:
    mechanism = every("a@b.example", "t")[number]
    answers = 1 if mechanism.name == "PLAIN" else 2
    for _ in range(answers):
        mechanism.respond(b"")
    with pytest.raises(RemoteProtocolError):
        mechanism.respond(b"")


@given(st.text(), CONTROLS, st.text())
def test_control_characters_are_refused_and_never_shown(before: str, control: str, after: str) -> None:
    text = f"{before}{control}{after}"
    for user, secret in [(text, "t"), ("a@b.example", text)]:
        with pytest.raises(InvalidInputError) as caught:
            every(user, secret)
        assert text not in str(caught.value.fields.values())


@pytest.mark.parametrize(("user", "secret"), [("", "t"), ("a@b.example", "")])
def test_what_is_empty_is_refused(user: str, secret: str) -> None:
    with pytest.raises(InvalidInputError):
        every(user, secret)


def test_a_mechanism_does_not_print_its_token() -> None:
    assert all("hidden" not in repr(mechanism) for mechanism in every("a@b.example", "hidden"))
