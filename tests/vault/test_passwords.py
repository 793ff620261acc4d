import asyncio
from collections.abc import AsyncIterator

import pytest

from mailbearer.errors import ConflictError
from mailbearer.model.secret import Secret
from mailbearer.vault.passwords import REMEMBERED_SECONDS, WAITING_MAX, PasswordHashing
from tests.fakes.clock import FakeClock

RIGHT, WRONG = Secret("kelp otter 41 mason"), Secret("kelp otter 42 mason")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def hashing(clock: FakeClock) -> AsyncIterator[PasswordHashing]:
    made = PasswordHashing(clock, memory_kib=64)
    yield made
    made.close()


async def test_a_password_fits_what_was_kept_of_it_and_no_other(hashing: PasswordHashing) -> None:
    kept = await hashing.hash(RIGHT)
    assert await hashing.fits(RIGHT, kept)
    assert not await hashing.fits(WRONG, kept)
    assert not await hashing.fits(RIGHT, b"nonsense")
    assert await hashing.hash(RIGHT) != kept, "each has a salt of its own"


async def test_what_was_right_is_remembered_for_a_while(hashing: PasswordHashing, clock: FakeClock) -> None:
    kept = await hashing.hash(RIGHT)
    await hashing.fits(WRONG, kept)
    await hashing.fits(RIGHT, kept)
    assert (hashing.was_right(RIGHT, kept), hashing.was_right(WRONG, kept)) == (True, False)
    assert not hashing.was_right(RIGHT, kept + b"x")
    await clock.advance(REMEMBERED_SECONDS)
    assert not hashing.was_right(RIGHT, kept)


async def test_only_so_many_wait_in_line(hashing: PasswordHashing) -> None:
    kept = await hashing.hash(RIGHT)
    asked = [hashing.fits(RIGHT, kept) for _ in range(WAITING_MAX + 3)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(each, ConflictError) for each in answers].count(True) == 3
    assert not hashing.busy


async def test_a_name_that_nobody_has_costs_one_computation(hashing: PasswordHashing) -> None:
    await hashing.fits_nobody(RIGHT)
    await hashing.fits_nobody(RIGHT)
    assert not hashing.busy


@pytest.mark.slow
async def test_the_loop_goes_on_while_it_computes(clock: FakeClock) -> None:
    hashing = PasswordHashing(clock)
    kept = await hashing.hash(RIGHT)
    computing = asyncio.ensure_future(hashing.fits(WRONG, kept))
    turns = 0
    while not computing.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns >= 10, "it takes some 60 ms, and leaves the interpreter to others"
    hashing.close()
