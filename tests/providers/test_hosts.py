import pytest
from hypothesis import given, strategies as st

from mailbearer.providers.catalogue import load_catalogue
from mailbearer.providers.hosts import allows, known_hosts, normal, suggest_host
from tests.providers.registrations import registration

GOOGLE = load_catalogue().get("google")


@pytest.mark.parametrize("host", ["smtp.gmail.com", "SMTP.Gmail.com.", "pop.googlemail.com"])
def test_the_providers_own_servers_may_see_the_token(host: str) -> None:
    assert allows(GOOGLE, registration(), host)


@pytest.mark.parametrize(
    "host", ["smtp.gmail.com.evil.example", "evil.smtp.gmail.com", "gmail.com", "", ".", "127.0.0.1"]
)
def test_no_other_server_may(host: str) -> None:
    assert not allows(GOOGLE, registration(), host)


@given(st.text(max_size=60))
def test_any_name_is_answered_and_only_known_ones_with_yes(host: str) -> None:
    assert allows(GOOGLE, registration(), host) == (normal(host) in known_hosts(GOOGLE, registration()))


def test_the_administrator_can_add_a_server() -> None:
    added = registration(extra_hosts=("Relay.Example.com",))
    assert allows(GOOGLE, added, "relay.example.com")


def test_a_server_may_have_an_international_name() -> None:
    added = registration(extra_hosts=("post.büro.example",))
    assert allows(GOOGLE, added, "post.xn--bro-hoa.example")


def test_a_typing_error_is_recognised() -> None:
    assert suggest_host("smtp.ofice365.com") == "smtp.office365.com"
    assert suggest_host("smtp.gmial.com") == "smtp.gmail.com"


@pytest.mark.parametrize("host", ["smtp.gmail.com", "mail.harbourclinic.example", ""])
def test_nothing_is_suggested_for_what_is_right_or_foreign(host: str) -> None:
    assert suggest_host(host) is None
