"""The clock of the tests: time passes only when it is told to, and in order."""

import asyncio
from datetime import timedelta

from mailbearer.clock import Clock
from tests.fakes.clock import START, FakeClock


async def test_it_stands_still() -> None:
    clock: Clock = FakeClock()
    await asyncio.sleep(0.01)
    assert (clock.now(), clock.monotonic()) == (START, 0.0)


async def test_sleepers_wake_in_the_order_of_their_time() -> None:
    clock, woken = FakeClock(), list[tuple[float, float]]()

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        for seconds in (30, 10, 20):
            group.create_task(sleeper(seconds))
        await clock.advance(15)
        assert woken == [(10, 10)]
        await clock.advance(minutes=1)
    assert woken == [(10, 10), (20, 20), (30, 30)]


async def test_a_loop_wakes_at_every_step_on_the_way() -> None:
    clock, seen = FakeClock(), list[float]()

    async def loop() -> None:
        while len(seen) < 400:
            await clock.sleep(86_400)
            seen.append(clock.monotonic())

    async with asyncio.TaskGroup() as group:
        group.create_task(loop())
        await clock.advance(days=400)
    assert seen == [86_400.0 * (day + 1) for day in range(400)]
    assert clock.now() == START + timedelta(days=400)


async def test_a_jump_moves_the_wall_clock_alone() -> None:
    clock = FakeClock()
    clock.jump(hours=-2)
    assert clock.now() == START - timedelta(hours=2)
    assert clock.monotonic() == 0.0


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = FakeClock()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(clock.sleep(10))
        await clock.until_asleep()
        assert clock.next_wake == 10
        task.cancel()
    assert clock.asleep == 0
    assert clock.next_wake is None
