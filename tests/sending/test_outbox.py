"""Lanes: how many, what goes on which, how long they stay open."""

import asyncio
from dataclasses import replace

from mailbearer.errors import ConnectError
from mailbearer.model.envelope import Envelope
from mailbearer.model.message import MessageState, QueuedMessage
from mailbearer.model.service import ServiceId
from mailbearer.sending.limits import LINES
from mailbearer.sending.outbox import CLOSED, STORE_PAUSE, TOGETHER, WORTH_A_LINE
from mailbearer.sending.queue import Queue
from mailbearer.sending.relay import Line, Relay, Way
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


class Doorkeeper(Relay):
    """Lets one line in; turns the next one away when told to, and looks settings up when told to."""

    def __init__(self, office: Office) -> None:
        super().__init__(office.sources, office.clock, hello_name="scanner.practice.example")
        self.lines = 0
        self.second_came = asyncio.Event()
        self.turn_away = asyncio.Event()
        self.looked = asyncio.Event()
        self.look = asyncio.Event()
        self.look.set()

    async def way_of(self, identity: ServiceId) -> Way:
        self.looked.set()
        await self.look.wait()
        return await super().way_of(identity)

    async def open(self, way: Way) -> Line:
        self.lines += 1
        if self.lines == 2:
            self.second_came.set()
            await self.turn_away.wait()
            raise ConnectError("MB-S04", host="localhost", port=587)
        return await super().open(way)


async def test_mail_on_a_lane_that_is_turned_away_while_other_mail_is_dealt_goes_on_another(ready: Office) -> None:
    doorkeeper = Doorkeeper(ready)
    ready.relay = doorkeeper
    ready.courier = ready.new_courier()
    async with running(ready.courier):
        async with asyncio.timeout(10):
            first = [await ready.put(subject=f"a{number}", device="a") for number in range(WORTH_A_LINE)]
            first.append(await ready.put(subject="b0", device="b"))
            ready.courier.wake()
            await doorkeeper.second_came.wait()
            await until(ready, first[WORTH_A_LINE - 1], MessageState.ACCEPTED)
            doorkeeper.looked.clear()
            doorkeeper.look.clear()
            last = await ready.put(subject="b1", device="b")
            ready.courier.wake(SMTP)
            await doorkeeper.looked.wait()
            doorkeeper.turn_away.set()
            await asyncio.sleep(0.05)
            doorkeeper.look.set()
            await until(ready, last, MessageState.ACCEPTED)
            await until(ready, first[-1], MessageState.ACCEPTED)
    assert ready.delivered()[-2:] == ["b0", "b1"]


async def test_while_no_line_can_be_had_more_mail_is_put_off_without_another_try(ready: Office) -> None:
    counting = Counting(ready)
    ready.relay = counting
    ready.courier = ready.new_courier()
    port = ready.services[SMTP].settings.port
    ready.sets(SMTP, port=9)
    async with running(ready.courier):
        first = await ready.put(subject="0")
        ready.courier.wake(SMTP)
        await until(ready, first, MessageState.RETRYING)
        more = [await ready.put(subject=str(number)) for number in range(1, 4)]
        ready.courier.wake(SMTP)
        await ready.clock.until_asleep(3)
        await ready.clock.advance(seconds=2)
        for message in more:
            await until(ready, message, MessageState.RETRYING)
        assert counting.lines == 1
        ready.sets(SMTP, port=port)
        last = await ready.put(subject="4")  # settings that were changed may be the cure
        ready.courier.wake(SMTP)
        await ready.clock.advance(seconds=2)
        await until(ready, last, MessageState.ACCEPTED)
    assert counting.lines == 2


async def test_after_a_while_and_when_a_person_says_so_a_line_is_tried_again(ready: Office) -> None:
    counting = Counting(ready, refusals=2)
    ready.relay = counting
    ready.courier = ready.new_courier()
    queue = Queue(ready.store, ready.clock, ready.courier.try_again)
    async with running(ready.courier):
        first = await ready.put(subject="0")
        ready.courier.wake(SMTP)
        await until(ready, first, MessageState.RETRYING)
        await queue.retry(first)
        async with asyncio.timeout(5):
            await counting.twice.wait()
        await until(ready, first, MessageState.RETRYING)
        await ready.clock.advance(seconds=CLOSED + 1)
        await queue.flush()
        await until(ready, first, MessageState.ACCEPTED)
    assert counting.lines == 3


class Counting(Relay):
    """Counts the lines that are tried, and turns the first ones away."""

    def __init__(self, office: Office, refusals: int = 0) -> None:
        super().__init__(office.sources, office.clock, hello_name="scanner.practice.example")
        self.lines = 0
        self.refusals = refusals
        self.twice = asyncio.Event()

    async def open(self, way: Way) -> Line:
        self.lines += 1
        if self.lines == 2:
            self.twice.set()
        if self.lines <= self.refusals:
            raise ConnectError("MB-S04", host="localhost", port=587)
        return await super().open(way)


WORN_OUT = "421 4.7.0 gate.example Error: too many errors"


async def test_line_that_ends_for_what_was_refused_on_it_means_a_new_line_and_no_rest(ready: Office) -> None:
    messages = [await ready.put(f"x{number}@practice.example", subject=str(number)) for number in range(3)]
    ready.world.fault("smtp/rcpt", body="550 5.1.1 Nobody")
    ready.world.fault("smtp/rcpt", body=WORN_OUT)
    await ready.courier.flush()
    assert [await ready.state(each) for each in messages] == ["Failed", "Accepted", "Accepted"]
    assert sign_ins(ready) == 2


async def test_refusals_before_the_end_of_a_line_stand_and_the_others_go_on_another(ready: Office) -> None:
    message = await ready.put("x@practice.example", "y@practice.example", BOB)
    ready.world.fault("smtp/rcpt", body="550 5.1.1 Nobody")
    ready.world.fault("smtp/rcpt", body=WORN_OUT)
    await ready.courier.flush()
    found = await ready.store.messages.get(message)
    assert [str(each.state) for each in found.recipients] == ["Refused", "Accepted", "Accepted"]
    assert (str(found.state), ready.delivered()) == ("Failed", ["Scan"])


async def test_token_and_settings_that_change_at_once_do_not_stop_the_service(ready: Office) -> None:
    doorkeeper = Doorkeeper(ready)
    ready.relay = doorkeeper
    ready.courier = ready.new_courier()
    async with running(ready.courier):
        async with asyncio.timeout(10):
            first = await ready.put(subject="0")
            ready.courier.wake()
            await until(ready, first, MessageState.ACCEPTED)
            service = ready.services.pop(SMTP)
            held = await ready.put(subject="1")
            ready.courier.wake(SMTP)
            await until(ready, held, MessageState.HELD)
            doorkeeper.looked.clear()
            doorkeeper.look.clear()
            last = await ready.put(subject="2")
            ready.courier.wake(SMTP)
            while not doorkeeper.looked.is_set():
                await ready.clock.settle()
                await ready.clock.advance(seconds=TOGETHER)
            ready.services[SMTP] = replace(service, title="Other")
            doorkeeper.turn_away.set()
            doorkeeper.lines = 2
            ready.courier.reopen(SMTP)
            doorkeeper.look.set()
            await until(ready, held, MessageState.ACCEPTED)
            await until(ready, last, MessageState.ACCEPTED)


async def test_faults_of_this_program_use_no_lines_up(ready: Office) -> None:
    async def meet_a_fault(_: QueuedMessage) -> None:
        raise ZeroDivisionError

    ready.courier = ready.new_courier(on_failed=meet_a_fault)
    async with running(ready.courier):
        for _ in range(LINES + 1):
            failing = await ready.put("nobody@else.example")
            ready.courier.wake(SMTP)
            await until(ready, failing, MessageState.FAILED, step=STORE_PAUSE / 10)
        message = await ready.put(subject="after")
        ready.courier.wake(SMTP)
        await until(ready, message, MessageState.ACCEPTED, step=STORE_PAUSE / 10)
    assert ready.delivered() == ["after"]
