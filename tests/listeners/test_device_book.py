"""Devices as listeners ask for them, over a real store."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mailbearer.errors import ConflictError
from mailbearer.listeners.device_auth import REFUSAL_SECONDS, DeviceGate
from mailbearer.listeners.device_book import StoredDevices
from mailbearer.model.device import Credential, CredentialKind, Device, DeviceId
from mailbearer.model.secret import Secret
from mailbearer.model.service import ServiceId
from mailbearer.store.store import Store
from mailbearer.vault.derived import grouped, keyed_hash, new_password
from mailbearer.vault.passwords import PasswordHashing
from tests.fakes.clock import FakeClock

KEY = b"k" * 32
CHOSEN = Secret("kelp otter 41 mason")


@dataclass
class Hall:
    store: Store
    clock: FakeClock
    hashing: PasswordHashing
    book: StoredDevices

    async def add(self, device: Device, *kept: tuple[CredentialKind, bytes]) -> None:
        await self.store.devices.put(device, expected_version=0)
        for number, (kind, value) in enumerate(kept):
            made = Credential(f"{device.id}{number}", device.id, device.id, kind, value, self.clock.now())
            await self.store.devices.add_credential(made)
        await self.book.load()


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[Hall]:
    clock = FakeClock()
    store = await Store.open(tmp_path / "data", clock)
    hashing = PasswordHashing(clock, memory_kib=64)
    yield Hall(store, clock, hashing, StoredDevices(store, KEY, hashing, clock))
    hashing.close()
    await store.close()


def named(name: str, *networks: str, by_address: bool = False) -> Device:
    return Device(DeviceId(name), name, ServiceId("smtp"), networks=networks, by_address=by_address)


async def test_a_generated_password_is_right_however_it_is_typed(hall: Hall) -> None:
    password = new_password()
    await hall.add(named("nas"), (CredentialKind.GENERATED, keyed_hash(KEY, password)))
    for typed in (password.reveal(), grouped(password), grouped(password).upper()):
        found = await hall.book.owner("NAS", Secret(typed))
        assert found is not None
        assert found.id == "nas"
    assert await hall.book.owner("nas", new_password()) is None
    assert await hall.book.owner("nobody", password) is None


async def test_both_passwords_work_until_the_old_one_is_taken_away(hall: Hall) -> None:
    old, new = new_password(), new_password()
    kept = [(CredentialKind.GENERATED, keyed_hash(KEY, each)) for each in (old, new)]
    await hall.add(named("nas"), *kept)
    assert await hall.book.owner("nas", old)
    assert await hall.book.owner("nas", new)
    await hall.store.devices.remove_credential("nas0")
    assert await hall.book.owner("nas", old) is None


async def test_a_chosen_password_is_computed_once_in_ten_minutes(hall: Hall) -> None:
    kept = await hall.hashing.hash(CHOSEN)
    await hall.add(named("erp"), (CredentialKind.CHOSEN, kept))
    assert await hall.book.owner("erp", CHOSEN)
    hall.hashing.close()  # whatever computes from now on fails
    assert await hall.book.owner("erp", CHOSEN)


async def test_in_a_crowd_a_name_that_nobody_has_is_answered_as_any_other(hall: Hall) -> None:
    await hall.add(named("erp"), (CredentialKind.CHOSEN, await hall.hashing.hash(CHOSEN)))
    assert await hall.book.owner("nobody", CHOSEN) is None
    hall.hashing._waiting = 1_000
    for user in ("erp", "nobody"):
        with pytest.raises(ConflictError):
            await hall.book.owner(user, Secret("wrong"))


async def test_a_use_is_noted(hall: Hall) -> None:
    password = new_password()
    await hall.add(named("nas"), (CredentialKind.GENERATED, keyed_hash(KEY, password)))
    await hall.book.owner("nas", password)
    (credential,) = await hall.store.devices.credentials_of(DeviceId("nas"))
    assert credential.last_used == hall.clock.now()


async def test_the_smallest_network_says_who_it_is(hall: Hall) -> None:
    await hall.add(named("floor", "192.0.2.0/24", by_address=True))
    await hall.add(named("copier", "192.0.2.7", by_address=True))
    await hall.add(named("away", "198.51.100.0/24"))
    seen = {address: hall.book.known(address) for address in ("192.0.2.7", "::ffff:192.0.2.8", "198.51.100.1", "x")}
    assert {address: each.id if each else None for address, each in seen.items()} == {
        "192.0.2.7": "copier",
        "::ffff:192.0.2.8": "floor",
        "198.51.100.1": None,
        "x": None,
    }


async def test_a_change_counts_from_the_next_load_on(hall: Hall) -> None:
    await hall.add(named("copier", "192.0.2.7", by_address=True))
    device = hall.book.known("192.0.2.7")
    assert device is not None
    await hall.store.devices.put(replace(device, enabled=False), expected_version=device.version)
    await hall.book.load()
    assert hall.book.known("192.0.2.7") is None
    current = hall.book.current(device.id)
    assert current is not None
    assert not current.enabled
    await hall.store.devices.remove(device.id)
    await hall.book.load()
    assert hall.book.current(device.id) is None


async def test_unknown_name_and_wrong_password_take_the_same_time(hall: Hall) -> None:
    """Measured on the clock of the machine's own tasks: both end when the second is over."""
    await hall.add(named("nas"), (CredentialKind.GENERATED, keyed_hash(KEY, new_password())))
    gate = DeviceGate(hall.book, hall.clock)
    import asyncio

    for user in ("nas", "nobody"):
        begin = hall.clock.monotonic()
        check = asyncio.ensure_future(gate.check(user, Secret("wrong"), "192.0.2.1"))
        await hall.clock.until_asleep(1)
        assert not check.done()
        await hall.clock.advance(REFUSAL_SECONDS)
        assert await check is None
        assert hall.clock.monotonic() - begin == REFUSAL_SECONDS


async def test_from_the_fourth_failure_an_address_waits_and_no_other_does(hall: Hall) -> None:
    import asyncio

    right = new_password()
    await hall.add(named("nas"), (CredentialKind.GENERATED, keyed_hash(KEY, right)))
    gate = DeviceGate(hall.book, hall.clock)

    async def seconds(user: str, password: Secret, address: str) -> float:
        begin = hall.clock.monotonic()
        check = asyncio.ensure_future(gate.check(user, password, address))
        while not check.done():
            await hall.clock.until(lambda: check.done() or hall.clock.asleep > 0)
            await hall.clock.advance(0.5)
        return hall.clock.monotonic() - begin

    took = [await seconds("nas", Secret("wrong"), "192.0.2.1") for _ in range(9)]
    assert [round(each - took[0]) for each in took] == [0, 0, 0, 0, 2, 4, 8, 15, 15]
    begin = hall.clock.monotonic()
    assert await gate.check("nas", right, "192.0.2.2") is not None
    assert hall.clock.monotonic() == begin
