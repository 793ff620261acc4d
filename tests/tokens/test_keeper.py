import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailbearer.errors import StoreError
from mailbearer.model.grant import Flow
from mailbearer.model.service import ServiceId
from mailbearer.model.token import TokenStatus
from mailbearer.tokens.book import GrantBook
from tests.fakes.clock import FakeClock
from tests.tokens.authority import FakeAuthority
from tests.tokens.room import POP, SMTP, EagerClock, Room, opened

HOUR = 3600.0


@asynccontextmanager
async def kept(folder: Path, prepare: object = None) -> AsyncIterator[tuple[Room, FakeClock]]:
    clock = FakeClock()
    async with opened(folder, clock) as room:
        if prepare is not None:
            await prepare(room)  # type: ignore[operator]
        keeper = asyncio.create_task(room.keeper.run())
        yield room, clock
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)


async def pass_time(room: Room, clock: FakeClock, seconds: float) -> None:
    """Let time pass, but not while the keeper has work in hand."""
    end = clock.monotonic() + seconds
    while clock.monotonic() < end:
        await clock.until(lambda: clock.asleep > 0 and not room.keeper._busy)
        await clock.advance(min(clock.next_wake or 1, end - clock.monotonic()))
    await clock.until(lambda: clock.asleep > 0 and not room.keeper._busy)


async def get_token(room: Room) -> None:
    await room.get_token()


@pytest.mark.slow
async def test_a_token_is_kept_alive_through_a_day_without_traffic(tmp_path: Path) -> None:
    async with kept(tmp_path, get_token) as (room, clock):
        await pass_time(room, clock, 24 * HOUR)
        assert await room.status() is TokenStatus.RETRIEVED
        held = await room.held()
        assert held.tokens.expires_at - clock.now() > timedelta(minutes=9)
        assert 27 <= room.authority.asked["refresh_token"] <= 31


async def test_it_hears_of_a_new_token_and_of_a_deleted_one(tmp_path: Path) -> None:
    async with kept(tmp_path) as (room, clock):
        await clock.until_asleep(1)
        await room.get_token()
        await pass_time(room, clock, HOUR)
        assert room.authority.asked["refresh_token"] == 1
        await room.delete()
        await pass_time(room, clock, 2 * HOUR)
        assert room.authority.asked["refresh_token"] == 1


async def test_it_polls_for_who_signs_in(tmp_path: Path) -> None:
    async def begin(room: Room) -> None:
        await room.sign_ins.begin(POP, flow=Flow.DEVICE, by="Ada")

    async with kept(tmp_path, begin) as (room, clock):
        await clock.until_asleep(2)
        await room.sign_ins.begin(SMTP, flow=Flow.DEVICE, by="Ada")
        room.authority.approve()
        for _ in range(10):
            await clock.until_asleep(1)
            await clock.advance(1)
            await asyncio.sleep(0.01)
        assert await room.status(POP.id) is TokenStatus.RETRIEVED
        assert await room.status(SMTP.id) is TokenStatus.RETRIEVED


async def test_it_polls_for_the_sign_in_that_was_started_over(tmp_path: Path) -> None:
    async with kept(tmp_path) as (room, clock):
        await clock.until_asleep(1)
        await room.sign_ins.begin(SMTP, flow=Flow.DEVICE, by="Ada")
        await clock.until_asleep(2)
        await room.sign_ins.begin(SMTP, flow=Flow.DEVICE, by="Ada", replace=True)
        room.authority.approve()
        for _ in range(15):
            await clock.until_asleep(1)
            await clock.advance(1)
            await asyncio.sleep(0.01)
        assert await room.status() is TokenStatus.RETRIEVED


async def test_a_sign_in_that_ends_badly_ends_nothing_else(tmp_path: Path) -> None:
    async with kept(tmp_path, get_token) as (room, clock):
        await clock.until_asleep(1)
        room.authority.declined = True
        await room.sign_ins.begin(POP, flow=Flow.DEVICE, by="Ada")
        await pass_time(room, clock, HOUR)
        assert await room.status(POP.id) is TokenStatus.NOT_RETRIEVED
        assert room.authority.asked["refresh_token"] == 1


async def test_an_outage_of_an_hour_causes_no_storm_and_needs_nobody(tmp_path: Path) -> None:
    async with kept(tmp_path, get_token) as (room, clock):
        await pass_time(room, clock, 45 * 60)
        room.authority.disabled = False
        room.authority.faults = [OutageError()] * 1000
        await pass_time(room, clock, HOUR)
        asked = room.authority.asked["refresh_token"]
        assert asked <= 40
        assert await room.status() is TokenStatus.RETRIEVED
        room.authority.faults.clear()
        await pass_time(room, clock, 900)
        assert (await room.facts()).trouble is None


@pytest.mark.parametrize("jump", [{"hours": -2}, {"days": 30}, {"days": -30}])
async def test_a_clock_that_jumps_causes_one_renewal(tmp_path: Path, jump: dict[str, float]) -> None:
    async with kept(tmp_path, get_token) as (room, clock):
        await pass_time(room, clock, 300)
        clock.jump(**jump)
        await pass_time(room, clock, 300)
        assert room.authority.asked["refresh_token"] == 1
        assert await room.status() is TokenStatus.RETRIEVED


@pytest.mark.slow
async def test_a_hundred_overdue_grants_are_spread(tmp_path: Path) -> None:
    async def prepare(room: Room) -> None:
        grant = await room.get_token()
        book = GrantBook(room.store, room.vault)
        now = room.clock.now()
        async with asyncio.TaskGroup() as tasks:
            for number in range(100):
                other = replace(
                    grant,
                    service=ServiceId(f"pop.{number}"),
                    tokens=replace(grant.tokens, expires_at=now),
                    refreshed_at=now - timedelta(hours=1),
                )
                tasks.create_task(room.store.grants.insert(book.sealed(other)))
        room.authority.rotation = "keep"

    async with kept(tmp_path, prepare) as (room, clock):
        began = clock.monotonic()
        async with asyncio.timeout(20):
            while room.authority.asked["refresh_token"] < 100:
                await clock.until(lambda: clock.asleep > 0)
                await clock.advance(clock.next_wake or 0.05)
                await asyncio.sleep(0)
        assert room.authority.most_in_flight <= 8
        assert clock.monotonic() - began >= 5 - 0.1


async def test_it_looks_again_when_it_is_told_to(tmp_path: Path) -> None:
    async with kept(tmp_path) as (room, clock):
        await clock.until_asleep(1)
        room.keeper.wake()
        await clock.settle()
        await clock.until_asleep(1)


async def test_a_store_that_fails_for_a_while_is_asked_again(tmp_path: Path) -> None:
    async def break_store(room: Room) -> None:
        await room.get_token()
        room.store.grants = Failing(room.store.grants, 2)  # type: ignore[assignment]

    async with kept(tmp_path, break_store) as (room, clock):
        await pass_time(room, clock, HOUR)
        assert room.authority.asked["refresh_token"] == 1


class Failing:
    def __init__(self, real: object, failures: int) -> None:
        self.real = real
        self.failures = failures

    def __getattr__(self, name: str) -> object:
        if name == "times" and self.failures:
            self.failures -= 1
            return self._fail
        return getattr(self.real, name)

    async def _fail(self) -> object:
        raise StoreError("MB-D05", reason="I/O error")


def OutageError() -> Exception:  # noqa: N802 - reads as what it is
    from mailbearer.errors import ConnectError

    return ConnectError("MB-T01", host="login.example.com")


@pytest.mark.slow
async def test_an_idle_machine_still_has_its_token_after_400_days(tmp_path: Path) -> None:
    clock = EagerClock()
    authority = FakeAuthority(clock, access_life=timedelta(days=30))
    async with opened(tmp_path, clock, authority=authority) as room:
        began = (await room.get_token()).obtained_at
        while clock.now() - began < timedelta(days=400):
            facts = await room.facts()
            assert facts.next_renewal is not None
            assert facts.idle_dies_at is not None
            assert facts.idle_dies_at - clock.now() > timedelta(days=88)
            await clock.sleep((facts.next_renewal - clock.now()).total_seconds())
            await room.renewals.renew(SMTP.id)
        assert await room.status() is TokenStatus.RETRIEVED
        assert authority.asked["refresh_token"] == 400
