"""M13: an account that is gone makes the token Invalid, with the reason; mail waits, and all heals by itself."""

import asyncio

import pytest

from mailbearer.errors import MailbearerError
from tests.flows.house import ANNA, BOB, House, held, listed, text, until


async def test_m13_blocked_account_is_told_mail_waits_and_goes_in_order_when_it_is_back(house: House) -> None:
    await house.get_token()
    house.world.disable(ANNA)
    house.clock.set_forward(hours=1)
    for subject in ("first", "second"):
        assert (await house.send(BOB, subject=subject))["state"] == "Held"
    facts = await house.token()
    reason = held(facts, "reason")
    assert facts["status"] == "Invalid"
    assert all(text(reason, name) for name in ("code", "text", "action", "actor", "since"))
    assert "Invalid" in (await house.run("token", "status")).out
    asked = len(house.world.journal)
    with pytest.raises(MailbearerError):
        await house.do("token.access", service="smtp")
    assert len(house.world.journal) == asked, "not at every use"
    house.world.enable(ANNA)
    house.clock.set_forward(minutes=61)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each) for each in (house.app.keeper.run(), house.app.courier.run())]
        await until(lambda: house.asked() == 1)
        house.app.courier.wake()
        await until(lambda: len(house.world.mailbox(BOB)) == 2)
        for task in running:
            task.cancel()
    assert await house.word() == "Retrieved"
    assert [b"first" in mail for mail in house.world.mailbox(BOB)] == [True, False]


async def test_m13_invalid_token_heals_without_a_service_that_runs(house: House) -> None:
    await house.get_token()
    house.world.disable(ANNA)
    house.clock.set_forward(hours=1)
    sent = await house.send(BOB)
    assert await house.word() == "Invalid"
    house.world.enable(ANNA)
    house.clock.set_forward(minutes=61)
    await house.do("queue.flush")
    assert (await house.do("queue.show", id=text(sent, "id")))["state"] == "Accepted"
    assert await house.word() == "Retrieved"


async def test_m13_provider_that_is_away_makes_nothing_invalid(house: House) -> None:
    await house.get_token()
    house.clock.set_forward(minutes=55)
    house.world.fault("/token", status=500, count=-1)
    assert (await house.send(BOB))["state"] == "Accepted", "the token still lives"
    assert held(await house.token(), "trouble")["code"] == "MB-T24"
    house.clock.set_forward(minutes=10)
    assert (await house.send(BOB))["state"] == "Held"
    assert await house.word() == "Retrieved"
    house.world.clear_faults()
    house.clock.set_forward(minutes=16)
    await house.do("queue.flush")
    assert listed(await house.do("queue.list"), "messages") == []
