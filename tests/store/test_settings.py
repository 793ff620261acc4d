"""Services, registrations, custom providers, meta, audit: what the administrator set, and who did what."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import ConflictError, NotFoundError, StoreError
from mailbearer.model.provider import Registration
from mailbearer.model.secret import Secret
from mailbearer.model.service import (
    AfterReceiving,
    AuthMethod,
    Destination,
    DestinationKind,
    PopSettings,
    Service,
    ServiceId,
    ServiceKind,
    SmtpSettings,
    TlsMode,
)
from mailbearer.store import service_settings
from mailbearer.store.audit import Audit
from mailbearer.store.database import Database
from mailbearer.store.store import Store
from tests.fakes.clock import FakeClock
from tests.store.samples import POP, SMTP

smtp_settings = st.builds(SmtpSettings, password=st.none(), port=st.integers(0, 65535))
pop_settings = st.builds(PopSettings, password=st.none(), port=st.integers(0, 65535))

SERVICE = Service(
    id=SMTP,
    title="SMTP",
    places=("Network Settings › Service Settings › SMTP", "Quick Settings"),
    settings=SmtpSettings(
        primary_server="smtp.office365.com",
        port=587,
        timeout=timedelta(seconds=30.5),
        tls=TlsMode.IMPLICIT,
        auth=AuthMethod.PASSWORD,
        account="scanner@example.com",
    ),
)
FAX = Service(
    id=POP,
    title="Internet Fax",
    places=(),
    settings=PopSettings(
        server="pop.example.com",
        after_receiving=AfterReceiving.DELETE,
        destinations=(Destination(DestinationKind.MAILDIR, "/srv/fax"), Destination(DestinationKind.FOLDER, "/srv/ü")),
    ),
)
REGISTRATION = Registration(
    provider="microsoft365",
    client_id="11111111-2222",
    tenant="example.com",
    redirect_uri="https://scanner.example.com/callback",
    extra_hosts=("relay.example.com",),
    ca_file="/etc/ssl/own.pem",
    values={"region": "eu"},
)


@given(smtp_settings | pop_settings)
def test_settings_come_back_whole(settings: SmtpSettings | PopSettings) -> None:
    kind = ServiceKind.SMTP if isinstance(settings, SmtpSettings) else ServiceKind.POP
    assert service_settings.from_json(kind, service_settings.to_json(settings)) == settings


def test_a_field_that_is_missing_has_its_default() -> None:
    assert service_settings.from_json(ServiceKind.SMTP, "{}") == SmtpSettings()
    assert service_settings.from_json(ServiceKind.POP, "{}") == PopSettings()


@pytest.mark.parametrize("kept", ["[]", '{"tls": "maybe"}', '{"port": "587"}', '{"destinations": [["maildir"]]}', "x"])
def test_settings_that_are_none_are_damaged(kept: str) -> None:
    with pytest.raises(StoreError, match="MB-D02"):
        service_settings.from_json(ServiceKind.POP, kept)


async def test_services_keep_the_order_in_which_they_were_added(store: Store) -> None:
    smtp = await store.services.put(SERVICE, expected_version=0, sealed_password=None)
    fax = await store.services.put(FAX, expected_version=0, sealed_password=None)
    smtp = await store.services.put(smtp, expected_version=1, sealed_password=None)
    assert await store.services.all() == (smtp, fax)
    assert (smtp.version, fax.version) == (2, 1)
    assert smtp == replace(SERVICE, version=2)


async def test_a_password_is_stored_only_sealed(store: Store, tmp_path: Path) -> None:
    secret = replace(SERVICE, settings=replace(SERVICE.settings, password=Secret("hunter2-in-clear")))
    stored = await store.services.put(secret, expected_version=0, sealed_password=b"\x01blob")
    assert stored.settings.password is None
    assert await store.services.get(SMTP) == stored
    assert await store.services.sealed_password(SMTP) == b"\x01blob"
    assert await store.services.sealed_password(POP) is None
    await store.close()
    assert all(b"hunter2" not in file.read_bytes() for file in (tmp_path / "store").iterdir() if file.is_file())


async def test_of_two_who_edit_the_second_is_told(store: Store) -> None:
    read = await store.services.put(SERVICE, expected_version=0, sealed_password=b"one")
    await store.services.put(replace(read, title="mine"), expected_version=read.version, sealed_password=b"two")
    with pytest.raises(ConflictError, match="MB-W06"):
        await store.services.put(replace(read, title="yours"), expected_version=read.version, sealed_password=None)
    assert (await store.services.get(SMTP)).title == "mine"
    assert await store.services.sealed_password(SMTP) == b"two"


async def test_adding_a_service_that_is_there_is_refused(store: Store) -> None:
    await store.services.put(SERVICE, expected_version=0, sealed_password=None)
    with pytest.raises(ConflictError, match="MB-W21"):
        await store.services.put(SERVICE, expected_version=0, sealed_password=None)


async def test_a_service_that_was_removed_is_not_changed_back_into_being(store: Store) -> None:
    read = await store.services.put(SERVICE, expected_version=0, sealed_password=None)
    assert await store.services.remove(SMTP)
    assert not await store.services.remove(SMTP)
    with pytest.raises(NotFoundError, match="MB-W20"):
        await store.services.put(read, expected_version=read.version, sealed_password=None)


async def test_an_unknown_service_is_answered_with_those_that_are_known(store: Store) -> None:
    await store.services.put(SERVICE, expected_version=0, sealed_password=None)
    await store.services.put(FAX, expected_version=0, sealed_password=None)
    with pytest.raises(NotFoundError) as caught:
        await store.services.get(ServiceId("smtp.none"))
    assert caught.value.fields["known"] == "smtp, pop.internet-fax"


async def test_a_registration_begins_empty_and_grows(store: Store) -> None:
    empty = await store.registrations.get("microsoft365")
    assert empty == Registration("microsoft365")
    stored = await store.registrations.put(REGISTRATION, expected_version=empty.version, sealed_secret=b"blob")
    assert stored == replace(REGISTRATION, version=1)
    assert await store.registrations.get("microsoft365") == stored
    assert await store.registrations.all() == (stored,)
    assert await store.registrations.sealed_secret("microsoft365") == b"blob"
    assert await store.registrations.sealed_secret("google") is None


async def test_of_two_who_register_the_second_is_told(store: Store) -> None:
    await store.registrations.put(REGISTRATION, expected_version=0, sealed_secret=None)
    with pytest.raises(ConflictError, match="MB-W06"):
        await store.registrations.put(REGISTRATION, expected_version=0, sealed_secret=None)
    assert await store.registrations.remove("microsoft365")
    assert not await store.registrations.remove("microsoft365")


async def test_custom_providers_are_kept_as_text(store: Store) -> None:
    await store.custom_providers.put("mine", "{}")
    await store.custom_providers.put("mine", '{"name": "Mine"}')
    assert await store.custom_providers.all() == {"mine": '{"name": "Mine"}'}
    assert await store.custom_providers.get("mine") == '{"name": "Mine"}'
    assert await store.custom_providers.remove("mine")
    assert not await store.custom_providers.remove("mine")
    with pytest.raises(NotFoundError, match="MB-W20"):
        await store.custom_providers.get("mine")


async def test_small_facts_are_kept(store: Store) -> None:
    assert await store.meta.get("colour") is None
    await store.meta.put("colour", b"red")
    await store.meta.put("colour", b"blue")
    assert await store.meta.get("colour") == b"blue"
    await store.meta.remove("colour")
    assert await store.meta.get("colour") is None


async def test_of_two_first_facts_the_first_one_stays(store: Store) -> None:
    assert await store.meta.put_first("check", b"one") == b"one"
    assert await store.meta.put_first("check", b"two") == b"one"


async def test_the_audit_log_tells_the_newest_first(tmp_path: Path) -> None:
    clock = FakeClock()
    database = await Database.open(tmp_path / "mailbearer.db")
    audit = Audit(database, clock)
    for what in ("token deleted", "service changed"):
        await audit.append(who="Ada Lind", from_where="10.0.0.7", what=what, subject="smtp", detail="broken \udcff")
        await clock.advance(minutes=1)
    newest, oldest = await audit.list()
    assert (newest.what, oldest.what) == ("service changed", "token deleted")
    assert newest.at - oldest.at == timedelta(minutes=1)
    assert (newest.who, newest.from_where, newest.subject, newest.detail) == (
        "Ada Lind",
        "10.0.0.7",
        "smtp",
        "broken \\udcff",
    )
    assert len(await audit.list(limit=1)) == 1
    await database.close()
