"""M11: with status Retrieved the machine receives through each POP service at its Check Interval."""

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path

from mailbearer.practice.options import PracticeOptions
from tests.flows.house import ANNA, BOB, SetClock, built, until

FAX = b"From: outside@elsewhere.example\r\nSubject: Fax\r\n\r\n.page\r\n"


async def test_m11_each_mailbox_is_looked_into_at_its_interval(tmp_path: Path) -> None:
    clock = SetClock(factor=50.0)
    options = PracticeOptions(interval=timedelta(seconds=1), access_ttl=timedelta(days=30))
    fax, printed = tmp_path / "fax", tmp_path / "print"
    async with built(tmp_path, clock=clock, options=options) as house, asyncio.TaskGroup() as tasks:
        for service, account, folder in (("pop.internet-fax", ANNA, fax), ("pop.email-print", BOB, printed)):
            values = {"account": account, "destinations": f"folder:{folder}", "check_interval": "20s"}
            await house.do("service.set", service=service, values={**values})
            await house.get_token(service, account)
        await house.do("service.set", service="pop.email-print", values={"after_receiving": "leave"})
        polling = tasks.create_task(house.app.poller.run())
        for count in (1, 2):
            house.world.put(ANNA, FAX)
            house.world.put(BOB, FAX)
            await until(
                partial(lambda wanted: all(len(list(each.glob("*"))) == wanted for each in (fax, printed)), count)
            )
        await until(lambda: not house.world.mailbox(ANNA))
        assert len(house.world.mailbox(BOB)) == 2
        assert {file.read_bytes() for file in (*fax.iterdir(), *printed.iterdir())} == {FAX}
        polling.cancel()
