"""M12: tokens are renewed before they run out, also when no mail flows; an idle machine works after 95 or 400 days."""

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from mailbearer.practice.options import PracticeOptions
from tests.flows.house import ANNA, SetClock, built, until


@pytest.mark.parametrize("days", [95, 400])
async def test_m12_idle_machine_still_works(tmp_path: Path, days: int) -> None:
    """The provider forgets a refresh token after 30 days without use; each renewal rotates it."""
    clock = SetClock()
    options = PracticeOptions(access_ttl=timedelta(hours=1), refresh_idle=timedelta(days=30))
    async with built(tmp_path, clock=clock, options=options) as house, asyncio.TaskGroup() as tasks:
        await house.get_token()
        keeping = tasks.create_task(house.app.keeper.run())
        for step in range(days // 5):
            clock.set_forward(days=5)
            house.app.keeper.wake()
            await until(partial(lambda wanted: house.asked() >= wanted, step + 1))
        keeping.cancel()
    async with built(tmp_path, clock=clock, options=options) as house:
        assert await house.word() == "Retrieved"
        assert (await house.send(ANNA))["state"] == "Accepted"


async def test_m12_renewal_comes_ten_minutes_before_the_end_without_traffic(tmp_path: Path) -> None:
    clock = SetClock()
    async with built(tmp_path, clock=clock) as house, asyncio.TaskGroup() as tasks:
        await house.get_token()
        keeping = tasks.create_task(house.app.keeper.run())
        clock.set_forward(minutes=48)
        house.app.keeper.wake()
        await asyncio.sleep(0.1)
        assert house.asked() == 0
        clock.set_forward(minutes=3, seconds=30)
        house.app.keeper.wake()
        await until(lambda: house.asked() == 1)
        keeping.cancel()
