import asyncio
from dataclasses import replace

import pytest

from mailbearer.errors import ConflictError
from mailbearer.listeners.device_auth import REFUSAL_SECONDS, DeviceGate
from mailbearer.model.device import Device, DeviceId
from mailbearer.model.secret import Secret
from tests.fakes.clock import FakeClock
from tests.listeners.room import COPIER, NAS


class Book:
    device: Device | None = NAS

    async def owner(self, user: str, password: Secret) -> Device | None:
        return self.device if (user, password.reveal()) == ("nas", "secret") else None

    def known(self, address: str) -> Device | None:
        return self.device if address.startswith("127.") else None

    def current(self, device: DeviceId) -> Device | None:
        return self.device if self.device is not None and self.device.id == device else None


async def outcome(gate: DeviceGate, clock: FakeClock, user: str, password: str) -> tuple[object, float]:
    """Return what ``check`` gives, and how long it took."""
    begin = clock.monotonic()
    task = asyncio.get_running_loop().create_task(gate.check(user, Secret(password), "127.0.0.1"))
    while not task.done():
        await clock.settle()
        if not task.done():
            await clock.advance(clock.next_wake or 0.1)
    return (task.exception() or task.result()), clock.monotonic() - begin


async def test_each_refusal_takes_the_same_time() -> None:
    clock = FakeClock()
    book = Book()
    gate = DeviceGate(book, clock)
    assert await outcome(gate, clock, "nas", "secret") == (NAS, 0.0)
    assert await outcome(gate, clock, "nas", "wrong") == (None, REFUSAL_SECONDS)
    assert await outcome(gate, clock, "nobody", "secret") == (None, REFUSAL_SECONDS)
    book.device = replace(NAS, enabled=False)
    assert await outcome(gate, clock, "nas", "secret") == (None, REFUSAL_SECONDS)


async def test_a_device_from_elsewhere_is_refused() -> None:
    clock = FakeClock()
    book = Book()
    book.device = replace(NAS, networks=("192.0.2.0/24",))
    assert (await outcome(DeviceGate(book, clock), clock, "nas", "secret"))[0] is None


@pytest.mark.parametrize(
    ("device", "user", "password", "code"),
    [
        (NAS, "nas", "wrong", "MB-G01"),
        (NAS, "nobody", "secret", "MB-G07"),
        (replace(NAS, networks=("192.0.2.0/24",)), "nas", "secret", "MB-G02"),
        (replace(NAS, enabled=False), "nas", "secret", "MB-G11"),
    ],
)
async def test_the_administrator_is_told_why_somebody_was_refused(
    device: Device, user: str, password: str, code: str
) -> None:
    told: list[tuple[str, object]] = []
    clock, book = FakeClock(), Book()
    book.device = device
    gate = DeviceGate(book, clock, lambda code, **facts: told.append((code, facts["ip"])))
    await outcome(gate, clock, user, password)
    assert told == [(code, "127.0.0.1")]


async def test_guessing_is_slowed_and_then_refused_but_not_for_a_device_that_was_there() -> None:
    clock = FakeClock()
    gate = DeviceGate(Book(), clock)
    assert (await outcome(gate, clock, "nas", "secret"))[0] == NAS
    for _ in range(12):
        await outcome(gate, clock, "x", "y")
    assert (await outcome(gate, clock, "x", "y"))[1] > 10
    assert await outcome(gate, clock, "nas", "secret") == (NAS, 0.0)
    waiting = [asyncio.get_running_loop().create_task(gate.check("x", Secret("y"), "127.0.0.1")) for _ in range(8)]
    await clock.settle()
    found, took = await outcome(gate, clock, "x", "y")
    assert isinstance(found, ConflictError)
    assert took == pytest.approx(REFUSAL_SECONDS)
    for task in waiting:
        task.cancel()


def test_only_a_device_with_addresses_of_its_own_is_known_by_them() -> None:
    book = Book()
    gate = DeviceGate(book, FakeClock())
    assert gate.known("127.0.0.1") is None
    book.device = COPIER
    assert gate.known("127.0.0.1") == COPIER
    assert gate.known("192.0.2.1") is None
    book.device = replace(COPIER, networks=())
    assert gate.known("127.0.0.1") is None
    book.device = replace(COPIER, enabled=False)
    assert (gate.known("127.0.0.1"), gate.current(COPIER.id)) == (None, None)
