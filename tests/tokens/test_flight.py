import asyncio

import pytest

from mailbearer.tokens.flight import SingleFlight


async def test_one_works_and_all_get_the_result() -> None:
    calls = 0

    async def work() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return calls

    async with SingleFlight[int]() as flights:
        assert await asyncio.gather(*(flights.run("a", work) for _ in range(20))) == [1] * 20
        assert await flights.run("a", work) == 2


async def test_other_keys_do_not_wait() -> None:
    gate = asyncio.Event()

    async def stuck() -> int:
        await gate.wait()
        return 1

    async def quick() -> int:
        return 2

    async with SingleFlight[int]() as flights:
        slow = asyncio.create_task(flights.run("a", stuck))
        assert await flights.run("b", quick) == 2
        gate.set()
        assert await slow == 1


async def test_an_error_reaches_everybody_and_ends_nothing_else() -> None:
    async def broken() -> int:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async with SingleFlight[int]() as flights:
        outcomes = await asyncio.gather(*(flights.run("a", broken) for _ in range(3)), return_exceptions=True)
        assert [type(error) for error in outcomes] == [ZeroDivisionError] * 3


async def test_work_goes_on_when_its_caller_goes_away_and_leaving_waits_for_it() -> None:
    done = False
    began = asyncio.Event()

    async def work() -> int:
        nonlocal done
        began.set()
        for _ in range(10):
            await asyncio.sleep(0)
        done = True
        return 1

    async with SingleFlight[int]() as flights:
        caller = asyncio.create_task(flights.run("a", work))
        await began.wait()
        caller.cancel()
    assert done


async def test_work_that_is_cancelled_from_above_tells_those_who_wait() -> None:
    began = asyncio.Event()

    async def work() -> int:
        began.set()
        await asyncio.Event().wait()
        return 1

    async def owner() -> None:
        async with SingleFlight[int]() as flights:
            waiting.append(asyncio.create_task(flights.run("a", work)))
            await began.wait()
            began.clear()
            left.set()

    waiting: list[asyncio.Task[int]] = []
    left = asyncio.Event()
    task = asyncio.create_task(owner())
    await left.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
