"""Messages that go from their acceptance straight to the courier, without being looked for in the queue."""

import asyncio

from mailbearer.model.envelope import Envelope
from mailbearer.model.message import MessageState, QueuedMessage
from mailbearer.sending.intake import Intake, Place
from mailbearer.sending.outbox import KEEP_OPEN, LEASE
from mailbearer.store.bodies import Body
from tests.sending.office import ANNA, BOB, LETTER, SMTP, Office
from tests.sending.test_courier import running, until


def accepting(office: Office) -> Intake:
    return Intake(office.store, office.clock, offer=office.courier.offer)


def commit(intake: Intake, subject: str, device: str = "", size: int = 0) -> "asyncio.Future[QueuedMessage]":
    acceptance = intake.begin(SMTP, device=device)
    acceptance.write(LETTER % subject.encode() + b"x" * size)
    return acceptance.commit(Envelope(ANNA, (BOB,)))


async def warm(office: Office) -> None:
    """Let the courier send a message, so that it has a line open."""
    message = await office.put(subject="first")
    office.courier.wake(SMTP)
    await until(office, message, MessageState.ACCEPTED)


async def test_message_is_the_couriers_from_its_birth_and_needs_no_wake(ready: Office) -> None:
    async with running(ready.courier):
        await warm(ready)
        message = await commit(accepting(ready), "direct")
        assert message.state is MessageState.SENDING
        await until(ready, message.id, MessageState.ACCEPTED)
    assert ready.delivered() == ["first", "direct"]


async def test_without_an_open_line_it_waits_in_the_queue(ready: Office) -> None:
    message = await commit(accepting(ready), "patient")
    assert message.state is MessageState.WAITING
    assert await ready.state(message.id) == "Waiting"


async def test_large_message_waits_in_the_queue(ready: Office) -> None:
    async with running(ready.courier):
        await warm(ready)
        message = await commit(accepting(ready), "large", size=40_000)
        assert message.state is MessageState.WAITING


async def test_it_does_not_overtake_what_the_queue_has_for_the_courier(ready: Office) -> None:
    intake = accepting(ready)
    async with running(ready.courier):
        await warm(ready)
        message = await commit(intake, "-")
        for number in range(0, 6, 2):
            await ready.put(subject=str(number))
            ready.courier.wake(SMTP)
            message = await commit(intake, str(number + 1))
        await until(ready, message.id, MessageState.ACCEPTED)
    assert ready.delivered() == ["first", "-", "0", "1", "2", "3", "4", "5"]


async def test_many_at_once_arrive_once_each_and_in_order_for_each_device(ready: Office) -> None:
    intake = accepting(ready)
    async with running(ready.courier):
        await warm(ready)
        direct, kept, message = 0, [], await commit(intake, "0/0")
        for turn in range(5):
            kept = [commit(intake, f"{number % 3}/{turn}{number:02}", f"device{number % 3}") for number in range(30)]
            for future in kept:
                message = await future
                direct += message.state is MessageState.SENDING
                if message.state is MessageState.WAITING:
                    ready.courier.wake(SMTP)
        await until(ready, message.id, MessageState.ACCEPTED)
        for future in kept:
            await until(ready, future.result().id, MessageState.ACCEPTED)
    arrived = ready.delivered()[2:]
    assert direct > 10
    assert len(arrived) == len(set(arrived)) == 150
    for device in range(3):
        assert (mine := [each for each in arrived if each.startswith(f"{device}/")]) == sorted(mine)


async def test_acceptance_that_nobody_waited_for_is_sent_when_its_lease_ends(ready: Office) -> None:
    async with running(ready.courier):
        await warm(ready)
        commit(accepting(ready), "left").cancel()
        async with asyncio.timeout(10):
            while ready.delivered() != ["first", "left"]:
                await asyncio.sleep(0.005)
                await ready.clock.advance(seconds=LEASE.total_seconds() / 20)


async def test_line_is_kept_as_long_after_a_direct_message_as_after_any_other(ready: Office) -> None:
    async with running(ready.courier):
        await warm(ready)
        await ready.clock.until_asleep(2)
        for _ in range(3):
            await ready.clock.advance(seconds=KEEP_OPEN * 2 / 3)
            queued = await ready.put(subject="queued")
            ready.courier.wake(SMTP)
            await until(ready, queued, MessageState.ACCEPTED)
            message = await commit(accepting(ready), "direct")
            assert message.state is MessageState.SENDING
            await until(ready, message.id, MessageState.ACCEPTED)
            await asyncio.sleep(0.05)
    assert sum(entry.grant_type == "XOAUTH2" for entry in ready.world.journal) == 1


async def test_what_arrives_at_a_courier_that_stops_goes_back_into_the_queue(ready: Office) -> None:
    async with running(ready.courier) as task:
        await warm(ready)
        kept = commit(accepting(ready), "late")
        task.cancel()
        message = await kept
        await asyncio.wait([task], timeout=5)
    assert await ready.state(message.id) in {"Waiting", "Accepted"}


class Late:
    """Room that hears of its message only when the test says so."""

    def __init__(self, place: Place) -> None:
        self.lease = place.lease
        self.taken: list[tuple[QueuedMessage, Body]] = []
        self._place = place

    def take(self, message: QueuedMessage, body: Body) -> None:
        self.taken.append((message, body))

    def give_up(self) -> None:
        self._place.give_up()

    def hear(self) -> None:
        for message, body in self.taken:
            self._place.take(message, body)


async def test_message_that_arrives_with_the_news_of_a_token_does_not_stop_the_service(ready: Office) -> None:
    async with running(ready.courier):
        await warm(ready)
        place = ready.courier.offer(SMTP)
        assert place is not None
        late = Late(place)
        message = await commit(Intake(ready.store, ready.clock, offer=lambda _: late), "late")
        service = ready.services.pop(SMTP)
        held = await ready.put(subject="held")
        ready.courier.wake(SMTP)
        await until(ready, held, MessageState.HELD)
        ready.services[SMTP] = service
        ready.courier.reopen(SMTP)
        late.hear()
        await until(ready, held, MessageState.ACCEPTED)
        await until(ready, message.id, MessageState.ACCEPTED)
