import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import MailbearerError, StoreError
from mailbearer.model.service import Destination, DestinationKind, Service, ServiceId
from mailbearer.receiving.fetch import CheckResult
from mailbearer.receiving.poller import PAUSE_MAX, Poller, next_look, ready as is_ready
from tests.sending.office import ANNA, POP, SMTP, Office
from tests.store.samples import NOW


@given(minutes=st.integers(1, 1440), failures=st.integers(0, 50), draw=st.floats(0, 1))
def test_next_look_is_about_an_interval_ahead_and_never_too_far(minutes: int, failures: int, draw: float) -> None:
    interval = timedelta(minutes=minutes)
    pause = next_look(interval, failures=failures, code="", now=NOW, draw=draw) - NOW
    assert interval * 0.89 <= pause <= max(interval, PAUSE_MAX) * 1.11


def test_provider_that_wants_longer_pauses_gets_them() -> None:
    assert next_look(timedelta(minutes=1), failures=1, code="MB-P14", now=NOW, draw=0) >= NOW + timedelta(minutes=15)


class Heard:
    def __init__(self) -> None:
        self.looks: list[CheckResult | MailbearerError] = []
        self.error: MailbearerError | None = None

    async def hear(self, _: ServiceId, outcome: CheckResult | MailbearerError) -> None:
        self.looks.append(outcome)
        if self.error is not None:
            raise self.error


@asynccontextmanager
async def polling(office: Office, heard: Heard) -> AsyncIterator[Poller]:
    service = office.services[POP]
    assert is_ready(service)
    await office.store.services.put(service, expected_version=0, sealed_password=None)
    poller = Poller(office.store, office.fetcher, office.clock, on_checked=heard.hear)
    task = asyncio.create_task(poller.run())
    try:
        await office.clock.until_asleep()
        yield poller
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def looks(office: Office, heard: Heard, count: int) -> None:
    """Let time pass until so many looks were heard of."""
    async with asyncio.timeout(10):
        while len(heard.looks) < count:
            await asyncio.sleep(0.01)
            await office.clock.advance(seconds=5)


@pytest.fixture
def office(ready: Office, tmp_path: Path) -> Office:
    ready.receives_into(Destination(DestinationKind.MAILDIR, str(tmp_path / "maildir")))
    return ready


async def test_mailbox_is_looked_into_soon_after_the_start_and_then_at_its_interval(office: Office) -> None:
    heard = Heard()
    async with polling(office, heard):
        await looks(office, heard, 1)
        first = office.clock.now()
        office.world.put(ANNA, b"Subject: x\r\n\r\n")
        await looks(office, heard, 2)
        assert timedelta(minutes=4) <= office.clock.now() - first <= timedelta(minutes=6)
    assert [look.handed_over for look in heard.looks if isinstance(look, CheckResult)] == [0, 1]


async def test_failed_look_is_told_and_tried_again(office: Office) -> None:
    heard = Heard()
    office.world.fault("pop3/connect", body="-ERR [SYS/TEMP] later")
    heard.error = StoreError("MB-D05")
    async with polling(office, heard):
        await looks(office, heard, 2)
    assert isinstance(heard.looks[0], MailbearerError)
    assert isinstance(heard.looks[1], CheckResult)


async def test_fault_of_our_own_ends_only_that_look(office: Office) -> None:
    heard = Heard()
    service_of = office.sources.service_of

    async def broken(identity: ServiceId) -> Service:
        if not heard.looks:
            raise ZeroDivisionError
        return await service_of(identity)

    office.fetcher._sources = replace(office.sources, service_of=broken)
    async with polling(office, heard):
        await looks(office, heard, 2)
    assert isinstance(heard.looks[0], MailbearerError)
    assert isinstance(heard.looks[1], CheckResult)


async def test_service_that_is_removed_is_forgotten(office: Office) -> None:
    heard = Heard()
    async with polling(office, heard) as poller:
        await looks(office, heard, 1)
        await office.store.services.remove(POP)
        poller.wake(POP)
        await office.clock.advance(hours=2)
        await asyncio.sleep(0.05)
        assert len(heard.looks) <= 2


async def test_wake_looks_at_once(office: Office) -> None:
    heard = Heard()
    async with polling(office, heard) as poller:
        await looks(office, heard, 1)
        poller.wake(POP)
        await office.clock.until(lambda: len(heard.looks) == 2)


async def test_service_that_is_not_set_up_is_left_alone(office: Office) -> None:
    service: Service = office.services[POP]
    assert not is_ready(replace(service, settings=replace(service.settings, account="")))
    assert not is_ready(office.services[SMTP])
