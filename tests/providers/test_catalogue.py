import json
from dataclasses import replace
from importlib import resources

import pytest

from mailbearer.errors import ConflictError, InvalidInputError, NotFoundError
from mailbearer.model.grant import Flow
from mailbearer.model.provider import Provider
from mailbearer.model.service import ServiceKind, TlsMode
from mailbearer.providers.catalogue import load_catalogue, read_catalogue
from mailbearer.providers.endpoints import discovery_url, resolve
from mailbearer.providers.quirks import QUIRKS, Quirk, has
from tests.providers.registrations import registration

ALL = load_catalogue().all()
OAUTH = [provider for provider in ALL if provider.oauth]
FOLDER = resources.files("mailbearer.providers").joinpath("data", "catalogue")


def text_of(provider_id: str) -> str:
    return FOLDER.joinpath(f"{provider_id}.json").read_text("utf-8")


def changed(**members: object) -> dict[str, str]:
    return {"google.json": json.dumps({**json.loads(text_of("google")), **members})}


def test_the_catalogue_has_twenty_eight_providers_and_the_practice_one() -> None:
    assert len(ALL) == 29
    assert ALL[0].id == "microsoft365"
    assert ALL[-1].id == "practice"


@pytest.mark.parametrize("provider", OAUTH, ids=lambda provider: provider.id)
def test_every_oauth_provider_has_a_way_or_says_why_not(provider: Provider) -> None:
    assert {advice.flow for advice in provider.flows} == set(Flow)
    assert all(advice.allowed or advice.warning for advice in provider.flows)


@pytest.mark.parametrize("provider", ALL, ids=lambda provider: provider.id)
def test_every_server_is_encrypted(provider: Provider) -> None:
    servers = [server for servers in provider.servers.values() for server in servers]
    assert all(server.tls is not TlsMode.OFF for server in servers)


@pytest.mark.parametrize("provider", [one for one in ALL if one.sasl[ServiceKind.POP]], ids=lambda one: one.id)
def test_who_takes_tokens_for_pop_grants_a_scope_for_it(provider: Provider) -> None:
    assert provider.scopes[ServiceKind.POP]


@pytest.mark.parametrize("provider", [one for one in OAUTH if one.endpoints.token], ids=lambda one: one.id)
def test_every_endpoint_can_be_filled_in(provider: Provider) -> None:
    ends = resolve(provider, registration())
    assert ends.token.startswith("https://")
    assert "{" not in f"{ends}{discovery_url(provider, registration())}"


def test_domains_belong_to_one_provider() -> None:
    domains = [domain for provider in ALL for domain in provider.domains]
    assert len(set(domains)) == len(domains)


def test_every_quirk_has_a_note_and_somebody_who_has_it() -> None:
    assert set(QUIRKS) == set(Quirk)
    assert {quirk for provider in ALL for quirk in provider.quirks} == set(Quirk)
    assert all(note.text.endswith(".") and note.source and note.dated for note in QUIRKS.values())


def test_a_quirk_is_asked_for_by_its_name() -> None:
    assert has(load_catalogue().get("google"), Quirk.SECRET_NEEDED_FOR_DESKTOP)
    assert not has(load_catalogue().get("yahoo"), Quirk.SECRET_NEEDED_FOR_DESKTOP)


def test_an_unknown_id_is_answered_with_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match="gogle") as caught:
        load_catalogue().get("gogle")
    assert "google" in caught.value.hint


def test_a_custom_provider_stands_in_for_one_that_is_filled_at_run_time() -> None:
    practice = replace(load_catalogue().get("practice"), custom=True)
    assert load_catalogue().with_custom([practice]).get("practice") is practice
    assert load_catalogue().with_custom([practice]).with_custom([practice]).get("practice") is practice


def test_a_custom_provider_does_not_take_the_place_of_a_real_one() -> None:
    with pytest.raises(ConflictError, match="google exists already"):
        load_catalogue().with_custom([replace(load_catalogue().get("google"), custom=True)])


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"id": "Google"}, "id"),
        ({"id": "other"}, "id"),
        ({"name": " "}, "name"),
        ({"name": 7}, "name"),
        ({"oauth": "yes"}, "oauth"),
        ({"nmae": "x"}, "nmae"),
        ({"quirks": ["odd"]}, "quirks"),
        ({"sasl": {"smtp": ["PLAIN"], "pop": []}}, "sasl"),
        ({"issuer": "http://accounts.google.com"}, "issuer"),
        ({"discovery_url": "https://{tenant}.example"}, "discovery_url"),
        ({"placeholders": ["planet"]}, "placeholders"),
        ({"flows": [{"flow": "password", "allowed": True, "warning": ""}]}, "flow"),
        ({"flows": [{"flow": "code", "allowed": False, "warning": ""}]}, "flows"),
        ({"flows": [{"flow": "code", "allowed": True, "warning": ""}] * 2}, "flows"),
        ({"flows": ["code"]}, "flows"),
        ({"servers": {"smtp": [["smtp.gmail.com", 0, "tls"]], "pop": []}}, "server"),
        ({"servers": {"smtp": [["smtp gmail", 25, "tls"]], "pop": []}}, "server"),
        ({"servers": {"smtp": [], "pop": [], "imap": []}}, "imap"),
        ({"idle_lifetime_days": "never"}, "idle_lifetime_days"),
    ],
)
def test_a_mistake_in_an_entry_is_told_with_file_and_field(members: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_catalogue(changed(**members))
    assert "google.json" in str(caught.value)
    assert field in str(caught.value)


def test_a_way_without_endpoint_is_a_mistake() -> None:
    ends = {
        "authorization": "",
        "token": "https://a.example",
        "device_authorization": "",
        "revocation": "",
        "userinfo": "",
    }
    with pytest.raises(InvalidInputError, match="has no endpoint"):
        read_catalogue(changed(endpoints=ends))
