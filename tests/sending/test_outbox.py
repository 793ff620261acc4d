"""Lanes: how many, what goes on which, how long they stay open."""

import asyncio
from dataclasses import replace

from mailbearer.model.envelope import Envelope
from mailbearer.model.message import MessageState
from mailbearer.model.service import ServiceId
from tests.sending.office import ANNA, BOB, LETTER, SMTP, Office, _in_chunks
from tests.sending.test_courier import running, until


def sign_ins(office: Office) -> int:
    return sum(entry.grant_type == "XOAUTH2" for entry in office.world.journal)


async def test_mail_of_many_devices_goes_on_several_lines_each_in_order(ready: Office) -> None:
    for number in range(40):
        await ready.put(subject=f"{number % 4}/{number // 4}", device=f"device{number % 4}")
    await ready.courier.flush()
    arrived = ready.delivered()
    assert len(arrived) == 40
    for device in range(4):
        assert [each for each in arrived if each.startswith(f"{device}/")] == [f"{device}/{n}" for n in range(10)]
    assert 1 < sign_ins(ready) <= 4


async def test_no_more_lines_than_the_provider_takes(ready: Office) -> None:
    ready.limits["connections"] = 2
    for number in range(40):
        await ready.put(subject=str(number), device=f"device{number}")
    await ready.courier.flush()
    assert (len(ready.delivered()), sign_ins(ready)) == (40, 2)


async def test_line_is_kept_for_more_mail_and_then_let_go(ready: Office) -> None:
    async with running(ready.courier):
        for number in range(3):
            message = await ready.put(subject=str(number))
            ready.courier.wake(SMTP)
            await until(ready, message, MessageState.ACCEPTED)
        assert sign_ins(ready) == 1
        await ready.clock.until_asleep(2)
        for _ in range(4):
            await ready.clock.advance(seconds=10)
            await asyncio.sleep(0.02)
        message = await ready.put(subject="3")
        ready.courier.wake()
        await until(ready, message, MessageState.ACCEPTED)
    assert sign_ins(ready) == 2


async def test_refusals_in_the_middle_of_overlapping_messages_stay_with_theirs(ready: Office) -> None:
    messages = [
        await ready.put(f"{name}@{'practice' if name != 'x' else 'else'}.example", subject=name) for name in "abxcd"
    ]
    await ready.courier.flush()
    assert [await ready.state(each) for each in messages] == ["Accepted", "Accepted", "Failed", "Accepted", "Accepted"]
    assert sign_ins(ready) == 1


async def test_line_that_breaks_with_a_message_begun_loses_nothing(ready: Office) -> None:
    ready.world.fault("smtp/end", body="250 2.0.0 OK", after=True)
    ready.world.fault("smtp/end", drop=True)
    messages = [await ready.put(subject=str(number)) for number in range(4)]
    await ready.courier.flush()
    assert [await ready.state(each) for each in messages] == ["Accepted", "Retrying", "Accepted", "Accepted"]
    await ready.clock.advance(minutes=2)
    await ready.courier.flush()
    assert sorted(ready.delivered()) == ["0", "1", "2", "3"]


async def test_two_services_of_one_account_share_its_only_line(ready: Office) -> None:
    ready.limits["connections"] = 1
    other = ServiceId("smtp.other")
    ready.services[other] = replace(ready.services[SMTP], id=other)
    await ready.get_token(other)
    async with running(ready.courier):
        first = await ready.put(subject="1")
        ready.courier.wake()
        await until(ready, first, MessageState.ACCEPTED)
        second = await ready.intake.accept(other, Envelope(ANNA, (BOB,)), _in_chunks(LETTER % b"2"))
        ready.courier.wake()
        await until(ready, second.id, MessageState.ACCEPTED)
    assert ready.delivered() == ["1", "2"]


async def test_settings_that_are_changed_mean_a_new_line(ready: Office) -> None:
    async with running(ready.courier):
        first = await ready.put(subject="0")
        ready.courier.wake(SMTP)
        await until(ready, first, MessageState.ACCEPTED)
        ready.sets(SMTP, port=9)
        second = await ready.put(subject="1")
        ready.courier.wake(SMTP)
        await until(ready, second, MessageState.RETRYING)
    assert ready.delivered() == ["0"]
