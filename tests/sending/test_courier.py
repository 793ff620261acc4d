"""The courier from queue to mailbox, against the practice servers, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import apsw

from mailbearer.model.message import MessageId, MessageState, QueuedMessage
from mailbearer.sending.courier import Courier
from tests.sending.office import ANNA, BOB, SMTP, Office

CARL = "carl@practice.example"


@asynccontextmanager
async def running(courier: Courier) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(courier.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(office: Office, message: MessageId, *states: MessageState, step: float = 0) -> QueuedMessage:
    """Wait until a message is in one of ``states``, letting ``step`` seconds pass between two looks."""
    async with asyncio.timeout(10):
        while (found := await office.store.messages.get(message)).state not in states:
            await asyncio.sleep(0.005)
            if step:
                await office.clock.advance(seconds=step)
    return found


async def pass_time(office: Office, seconds: int) -> None:
    """Let time pass in steps, so that what wakes on the way may use its sockets and the disk."""
    for _ in range(0, seconds, 5):
        await asyncio.sleep(0.01)
        await office.clock.advance(seconds=5)


async def test_message_goes_out_and_its_content_is_removed(ready: Office) -> None:
    message = await ready.put()
    assert await ready.courier.flush() == 1
    assert await ready.state(message) == "Accepted"
    assert ready.delivered() == ["Scan"]
    assert list(ready.store.folder.spool.rglob("*.eml")) == []


async def test_mail_of_a_service_leaves_in_order_on_one_line(ready: Office) -> None:
    subjects = [f"Scan {number}" for number in range(6)]
    for subject in subjects:
        await ready.put(subject=subject)
    assert await ready.courier.flush() == 6
    assert ready.delivered() == subjects
    assert len([entry for entry in ready.world.journal if entry.grant_type == "XOAUTH2"]) == 1


async def test_running_courier_hears_of_new_mail_when_it_is_woken(ready: Office) -> None:
    async with running(ready.courier):
        await ready.clock.until_asleep()
        message = await ready.put()
        ready.courier.wake()
        await until(ready, message, MessageState.ACCEPTED)


async def test_running_courier_finds_mail_of_other_processes_without_being_woken(ready: Office) -> None:
    async with running(ready.courier):
        await ready.clock.until_asleep()
        message = await ready.put()
        await ready.clock.advance(seconds=31)
        await until(ready, message, MessageState.ACCEPTED)


async def test_message_that_was_put_off_is_tried_again_by_itself(ready: Office) -> None:
    ready.world.fault("smtp/mail", body="451 4.3.0 Later")
    message = await ready.put()
    async with running(ready.courier):
        found = await until(ready, message, MessageState.RETRYING)
        assert found.code == "MB-S17"
        assert found.attempts == 1
        await until(ready, message, MessageState.ACCEPTED, step=1)
    assert 48 <= (ready.clock.now() - found.created_at).total_seconds() <= 110  # a minute, a fifth more or less
    assert ready.delivered() == ["Scan"]


async def test_refused_recipient_fails_the_message_but_the_others_have_it(ready: Office) -> None:
    message = await ready.put(BOB, "nobody@elsewhere.example")
    await ready.courier.flush()
    found = await ready.store.messages.get(message)
    assert (found.state, found.code) == (MessageState.FAILED, "MB-S18")
    assert [str(each.state) for each in found.recipients] == ["Accepted", "Refused"]
    assert ready.delivered() == ["Scan"]
    assert [each.id for each in ready.failed] == [message]


async def test_failed_message_is_sent_again_only_to_those_who_have_it_not(ready: Office) -> None:
    ready.world.fault("smtp/rcpt", body="550 5.1.1 Unknown")
    message = await ready.put(BOB, CARL)
    await ready.courier.flush()
    assert (await ready.state(message), ready.delivered(), ready.delivered(CARL)) == ("Failed", [], ["Scan"])
    await ready.queue.retry(message)
    await ready.courier.flush()
    assert (await ready.state(message), ready.delivered(), ready.delivered(CARL)) == ("Accepted", ["Scan"], ["Scan"])


async def test_without_a_token_mail_is_held_and_leaves_in_order_once_there_is_one(here: Office) -> None:
    messages = [await here.put(subject=f"Scan {number}") for number in range(3)]
    await here.courier.flush()
    assert [await here.state(each) for each in messages] == ["Held"] * 3
    assert not [entry for entry in here.world.journal if entry.endpoint == "smtp"]
    await here.get_token()
    assert await here.store.messages.release_held(SMTP, now=here.clock.now()) == 3
    await here.courier.flush()
    assert here.delivered() == ["Scan 0", "Scan 1", "Scan 2"]


async def test_token_that_comes_while_mail_is_being_held_releases_all_of_it(here: Office) -> None:
    messages = [await here.put(subject=str(number)) for number in range(20)]

    async def go_on_sending() -> None:
        while True:
            messages.append(await here.put(subject=str(len(messages))))
            here.courier.wake(SMTP)

    async with running(here.courier):
        feeder = asyncio.create_task(go_on_sending())
        await until(here, messages[0], MessageState.HELD)
        await here.get_token()
        await here.store.messages.release_held(SMTP, now=here.clock.now())
        here.courier.reopen(SMTP)
        await until(here, messages[0], MessageState.ACCEPTED)
        feeder.cancel()
        await asyncio.wait([feeder])
        for each in messages:
            await until(here, each, MessageState.ACCEPTED)
    assert here.delivered() == [str(number) for number in range(len(here.delivered()))]


async def test_server_that_turns_everybody_away_at_the_door_fails_no_message(ready: Office) -> None:
    ready.world.fault("smtp/connect", body="554 5.3.0 No service for you", count=-1)
    messages = [await ready.put(subject=f"Scan {number}") for number in range(2)]
    await ready.courier.flush()
    found = [await ready.store.messages.get(each) for each in messages]
    assert [each.state for each in found] == [MessageState.RETRYING] * 2
    first, second = (each.next_try for each in found)
    assert first is not None
    assert second is not None
    assert first <= second  # the order survives the pause


async def test_settings_that_cannot_work_hold_the_mail(ready: Office) -> None:
    ready.sets(SMTP, provider="")
    message = await ready.put()
    await ready.courier.flush()
    assert await ready.state(message) == "Held"


async def test_service_that_is_gone_holds_its_mail(ready: Office) -> None:
    message = await ready.put()
    del ready.services[SMTP]
    await ready.courier.flush()
    assert await ready.state(message) == "Held"


async def test_token_that_is_refused_is_renewed_and_the_mail_goes_out(ready: Office) -> None:
    await ready.clock.advance(minutes=2)
    ready.world.expire(ANNA)
    message = await ready.put()
    await ready.courier.flush()
    assert await ready.state(message) == "Accepted"


async def test_foreign_server_gets_no_token(ready: Office) -> None:
    ready.sets(SMTP, primary_server="127.0.0.2")
    message = await ready.put()
    await ready.courier.flush()
    found = await ready.store.messages.get(message)
    assert (found.state, found.code) == (MessageState.HELD, "MB-T40")


async def test_connection_lost_after_the_end_of_the_message_is_tried_again(ready: Office) -> None:
    ready.world.fault("smtp/end", drop=True, after=True)
    message = await ready.put()
    await ready.courier.flush()
    found = await ready.store.messages.get(message)
    assert (found.state, found.code) == (MessageState.RETRYING, "MB-S35")


async def test_line_that_the_server_ended_between_two_messages_costs_no_attempt(ready: Office) -> None:
    ready.world.fault("smtp/mail", body="250 2.1.0 OK", after=True)
    ready.world.fault("smtp/mail", drop=True)
    for number in range(3):
        await ready.put(subject=str(number))
    await ready.courier.flush()
    assert ready.delivered() == ["0", "1", "2"]


async def test_stopped_courier_lets_the_message_on_its_way_finish(ready: Office) -> None:
    ready.world.fault("smtp/end", delay=0.05)
    first, second = await ready.put(subject="1"), await ready.put(subject="2")
    async with running(ready.courier) as task:
        await until(ready, first, MessageState.SENDING)
        await ready.clock.until(lambda: ready.clock.next_wake is not None and ready.clock.next_wake < 1)
        task.cancel()
        await asyncio.sleep(0.01)
        await ready.clock.advance(seconds=0.1)
        await until(ready, first, MessageState.ACCEPTED)
    assert await ready.state(second) == "Waiting"  # never begun


async def test_stopped_courier_puts_back_what_does_not_end(ready: Office) -> None:
    ready.world.fault("smtp/mail", delay=1e6)
    message = await ready.put()
    courier = ready.new_courier(grace=timedelta(seconds=0.05))
    async with running(courier) as task:
        await until(ready, message, MessageState.SENDING)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    assert await ready.state(message) == "Waiting"
    ready.world.clear_faults()
    await ready.courier.flush()
    assert ready.delivered() == ["Scan"]


async def test_long_delivery_keeps_its_lease(ready: Office) -> None:
    ready.world.fault("smtp/end", delay=300)
    message = await ready.put()
    async with running(ready.courier):
        await until(ready, message, MessageState.SENDING)
        await ready.clock.until_asleep(3)  # the alarm, the heartbeat, the server
        for _ in range(14):
            await ready.clock.advance(seconds=20)
            await asyncio.sleep(0.02)  # in which the heartbeat reaches the disk
        claimed = await ready.store.messages.claim_due(
            now=ready.clock.now(), owner="another", lease_until=ready.clock.now(), limit=1
        )
        assert claimed == ()
        await ready.clock.advance(seconds=40)
        await until(ready, message, MessageState.ACCEPTED)
    assert ready.delivered() == ["Scan"]


async def test_outcome_that_cannot_be_written_is_kept_until_it_can(ready: Office) -> None:
    def refuse(*_: object) -> None:
        raise apsw.FullError("no room")

    def spoil(connection: apsw.Connection) -> None:
        connection.create_scalar_function("refuse", refuse, 0, flags=apsw.SQLITE_INNOCUOUS)
        connection.execute(
            """CREATE TEMP TRIGGER stop BEFORE UPDATE ON main.messages WHEN new.state = 'Accepted'
               BEGIN SELECT refuse(); END"""
        )

    def mend(connection: apsw.Connection) -> None:
        connection.execute("DROP TRIGGER stop")

    await ready.store.database.write(spoil)
    message = await ready.put()
    async with running(ready.courier):
        await ready.clock.until(lambda: ready.delivered() == ["Scan"])
        await pass_time(ready, seconds=90)  # longer than a lease
        assert await ready.state(message) == "Sending"
        await ready.store.database.write(mend)
        await until(ready, message, MessageState.ACCEPTED, step=1)
    assert ready.delivered() == ["Scan"]


async def test_one_message_is_tried_at_once_by_a_command(ready: Office) -> None:
    message = await ready.put()
    assert (await ready.courier.deliver_now(message)).state is MessageState.ACCEPTED


async def test_message_that_another_process_sends_is_left_to_it(ready: Office) -> None:
    message, now = await ready.put(), ready.clock.now()
    await ready.store.messages.claim(message, now=now, owner="another", lease_until=now + timedelta(seconds=60))
    assert (await ready.courier.deliver_now(message)).state is MessageState.SENDING
    assert ready.delivered() == []


async def test_housekeeping_forgets_old_messages(ready: Office) -> None:
    message = await ready.put()
    await ready.queue.cancel(message)
    await ready.clock.advance(days=31)
    async with running(ready.courier):
        async with asyncio.timeout(5):
            while await ready.store.messages.ids():  # noqa: ASYNC110 - they are rows
                await asyncio.sleep(0.005)


async def test_secondary_server_takes_over_and_stays_for_a_while(ready: Office) -> None:
    ready.sets(SMTP, secondary_server="localhost")
    ready.world.fault("smtp/connect", drop=True)
    await ready.put(subject="1")
    await ready.courier.flush()
    await ready.put(subject="2")
    await ready.courier.flush()
    assert ready.delivered() == ["1", "2"]


async def test_when_both_servers_are_down_the_error_of_the_first_is_told(ready: Office) -> None:
    ready.sets(SMTP, secondary_server="localhost")
    ready.world.fault("smtp/connect", body="421 4.3.2 First")
    ready.world.fault("smtp/connect", drop=True)
    message = await ready.put()
    await ready.courier.flush()
    found = await ready.store.messages.get(message)
    assert (str(found.state), found.reply) == ("Retrying", "421 4.3.2 First")
