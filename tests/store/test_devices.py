from dataclasses import replace
from datetime import timedelta

import pytest

from mailbearer.errors import ConflictError, NotFoundError
from mailbearer.model.device import Credential, CredentialKind, Device, DeviceId, FromPolicy
from mailbearer.model.envelope import DsnWishes, Envelope, RecipientWish
from mailbearer.store.store import Store
from tests.store.samples import MINUTE, NOW, SMTP, message

COPIER = DeviceId("copier-3f")
DEVICE = Device(
    id=COPIER,
    title="Copier, 3rd floor",
    service=SMTP,
    networks=("192.0.2.0/24", "2001:db8::/32"),
    by_address=True,
    allowed_senders=("scan@example.com", "@example.org"),
    from_policy=FromPolicy.REFUSE,
    per_hour=100,
    size_max=20_000_000,
    enabled=False,
)


def credential(name: str = "c1", *, user: str = "Copier-3F", device: DeviceId = COPIER) -> Credential:
    return Credential(name, device, user, CredentialKind.GENERATED, b"\x00hash\xff", NOW)


async def test_a_device_comes_back_whole(store: Store) -> None:
    stored = await store.devices.put(DEVICE, expected_version=0)
    assert stored == await store.devices.get(COPIER) == replace(DEVICE, version=1)
    plain = Device(DeviceId("nas"), "NAS", SMTP)
    await store.devices.put(plain, expected_version=0)
    assert await store.devices.all() == (stored, plain)


async def test_a_change_counts_up_and_keeps_the_passwords(store: Store) -> None:
    first = await store.devices.put(DEVICE, expected_version=0)
    await store.devices.add_credential(credential())
    second = await store.devices.put(replace(first, title="Copier"), expected_version=1)
    assert (second.version, second.title) == (2, "Copier")
    assert len(await store.devices.credentials_of(COPIER)) == 1


async def test_two_people_do_not_overwrite_each_other(store: Store) -> None:
    await store.devices.put(DEVICE, expected_version=0)
    with pytest.raises(ConflictError, match="MB-W21"):
        await store.devices.put(DEVICE, expected_version=0)
    with pytest.raises(ConflictError, match="MB-W06"):
        await store.devices.put(DEVICE, expected_version=2)
    await store.devices.remove(COPIER)
    with pytest.raises(NotFoundError, match="MB-W20"):
        await store.devices.put(DEVICE, expected_version=1)


async def test_an_unknown_device_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError, match="MB-W20"):
        await store.devices.get(COPIER)
    with pytest.raises(NotFoundError, match="MB-W20"):
        await store.devices.add_credential(credential())
    assert not await store.devices.remove(COPIER)
    assert not await store.devices.remove_credential("c1")


async def test_a_device_may_have_several_passwords(store: Store) -> None:
    await store.devices.put(DEVICE, expected_version=0)
    await store.devices.add_credential(credential("c1"))
    await store.devices.add_credential(replace(credential("c2"), kind=CredentialKind.CHOSEN, kept=b"$argon2id$"))
    assert [each.id for each in await store.devices.credentials_of(COPIER)] == ["c1", "c2"]
    assert await store.devices.remove_credential("c1")
    assert [each.kept for each in await store.devices.credentials_of(COPIER)] == [b"$argon2id$"]


@pytest.mark.parametrize("typed", ["copier-3f", "COPIER-3F", " Copier-3f "])
async def test_the_case_of_a_user_name_does_not_matter(store: Store, typed: str) -> None:
    await store.devices.put(DEVICE, expected_version=0)
    await store.devices.add_credential(credential())
    assert [each.id for each in await store.devices.credentials_for(typed)] == ["c1"]
    assert await store.devices.credentials_for("copier-4f") == ()


async def test_a_removed_device_takes_its_passwords_along(store: Store) -> None:
    await store.devices.put(DEVICE, expected_version=0)
    await store.devices.add_credential(credential())
    assert await store.devices.remove(COPIER)
    assert await store.devices.credentials_for("copier-3f") == ()


async def test_the_last_use_is_noted_once_a_minute(store: Store) -> None:
    async def held() -> Credential:
        return (await store.devices.credentials_of(COPIER))[0]

    await store.devices.put(DEVICE, expected_version=0)
    await store.devices.add_credential(credential())
    await store.devices.note_use(await held(), at=NOW)
    assert (await held()).last_used == NOW
    await store.devices.note_use(await held(), at=NOW + timedelta(seconds=59))
    assert (await held()).last_used == NOW
    await store.devices.note_use(await held(), at=NOW + MINUTE)
    assert (await held()).last_used == NOW + MINUTE


def test_a_credential_does_not_print_what_is_kept() -> None:
    assert "hash" not in repr(credential())


async def test_the_history_of_a_device_is_its_own(store: Store) -> None:
    for name, device in (("m1", "copier-3f"), ("m2", ""), ("m3", "nas"), ("m4", "copier-3f")):
        await store.messages.add(replace(message(name), device=device))
    assert [each.id for each in await store.messages.of_device(COPIER)] == ["m4", "m1"]
    assert [each.id for each in await store.messages.of_device(COPIER, limit=1)] == ["m4"]
    assert await store.messages.of_device(DeviceId("")) == ()
    assert await store.messages.count_of_device(COPIER, since=NOW) == 2
    assert await store.messages.count_of_device(COPIER, since=NOW + MINUTE) == 0
    assert await store.messages.latest_of_device(COPIER, limit=1, since=NOW) == (NOW,)
    assert await store.messages.latest_of_device(COPIER, limit=9, since=NOW) == (NOW, NOW)
    assert await store.messages.latest_of_device(COPIER, limit=9, since=NOW + MINUTE) == ()


async def test_the_wishes_of_a_sender_are_kept(store: Store) -> None:
    wishes = DsnWishes("HDRS", "QQ314159", (RecipientWish(("SUCCESS", "DELAY"), "rfc822;a@b.example"), RecipientWish()))
    envelope = Envelope("scanner@example.com", ("office@example.com", "büro@example.org"), wishes)
    whole = replace(message(), envelope=envelope, device="copier-3f")
    await store.messages.add(whole)
    assert await store.messages.get(whole.id) == whole
