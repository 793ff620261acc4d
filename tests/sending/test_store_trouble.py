"""A full disk at every word that the courier writes down: mail waits, none is lost, none goes out twice."""

import asyncio

import apsw
import pytest

from mailbearer.errors import DiskFullError, StoreError
from mailbearer.model.message import MessageState, QueuedMessage
from tests.sending.office import SMTP, Office
from tests.sending.test_courier import pass_time, running, until


class FullDisk:
    """Lets updates of the queue fail ``when`` the condition holds, until there is room again."""

    def __init__(self, office: Office, when: str) -> None:
        self._database = office.store.database
        self._when = when

    async def fill(self) -> None:
        def refuse(*_: object) -> None:
            raise apsw.FullError("no room")

        def work(connection: apsw.Connection) -> None:
            connection.create_scalar_function("refuse", refuse, 0, flags=apsw.SQLITE_INNOCUOUS)
            connection.execute(
                f"CREATE TEMP TRIGGER stop BEFORE UPDATE ON main.messages WHEN {self._when} BEGIN SELECT refuse(); END"
            )

        await self._database.write(work)

    async def make_room(self) -> None:
        def work(connection: apsw.Connection) -> None:
            connection.execute("DROP TRIGGER stop")

        await self._database.write(work)


async def test_mail_that_cannot_be_claimed_waits_for_room(ready: Office) -> None:
    disk = FullDisk(ready, "new.state = 'Sending' AND old.state <> 'Sending'")
    await disk.fill()
    message = await ready.put()
    async with running(ready.courier) as task:
        await pass_time(ready, seconds=20)
        assert not task.done()
        await disk.make_room()
        await until(ready, message, MessageState.ACCEPTED, step=1)
    assert ready.delivered() == ["Scan"]


async def test_lease_that_cannot_be_renewed_does_not_break_the_delivery_off(ready: Office) -> None:
    disk = FullDisk(ready, "new.state = 'Sending' AND old.state = 'Sending'")
    await disk.fill()
    ready.world.fault("smtp/end", delay=50)
    message = await ready.put()
    async with running(ready.courier):
        await until(ready, message, MessageState.SENDING)
        await ready.clock.until_asleep(3)
        await pass_time(ready, seconds=45)
        await until(ready, message, MessageState.ACCEPTED, step=1)
    assert ready.delivered() == ["Scan"]


async def test_courier_that_is_stopped_while_it_cannot_write_still_tries_once_more(ready: Office) -> None:
    disk = FullDisk(ready, "new.state = 'Accepted'")
    await disk.fill()
    message = await ready.put()
    delivery = asyncio.create_task(ready.courier.deliver_now(message))
    await ready.clock.until(lambda: ready.delivered() == ["Scan"])
    await ready.clock.until_asleep(2)
    await disk.make_room()
    delivery.cancel()
    await asyncio.wait([delivery])
    assert await ready.state(message) == "Accepted"


async def test_failure_that_nobody_can_be_told_of_is_a_failure_all_the_same(ready: Office) -> None:
    async def on_failed(_: QueuedMessage) -> None:
        raise StoreError("MB-D05")

    ready.world.fault("smtp/mail", body="550 5.6.0 No")
    message = await ready.put()
    ready.courier._on_failed = on_failed
    await ready.courier.flush()
    assert await ready.state(message) == "Failed"


async def test_message_that_another_process_took_over_is_left_to_it(
    ready: Office, caplog: pytest.LogCaptureFixture
) -> None:
    ready.world.fault("smtp/end", delay=10)
    message = await ready.put()
    delivery = asyncio.create_task(ready.courier.deliver_now(message))
    await until(ready, message, MessageState.SENDING)
    await ready.clock.until_asleep(2)
    ready.clock.jump(hours=1)
    now = ready.clock.now()
    assert await ready.store.messages.claim_due(now=now, owner="another", lease_until=now, limit=1, service=SMTP)
    await ready.clock.advance(seconds=10)
    assert (await delivery).state is MessageState.SENDING
    assert "taken by another process" in caplog.text


async def test_command_is_told_that_nothing_can_be_claimed(ready: Office) -> None:
    disk = FullDisk(ready, "new.state = 'Sending'")
    await disk.fill()
    message = await ready.put()
    with pytest.raises(DiskFullError):
        await ready.courier.flush()
    assert await ready.state(message) == "Waiting"
