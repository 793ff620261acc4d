import pytest

from mailbearer.errors import ConflictError, NotFoundError
from mailbearer.model.message import MessageState
from tests.sending.office import SMTP, Office


async def test_held_message_waits_for_a_person(ready: Office) -> None:
    message = await ready.put()
    assert (await ready.queue.hold(message)).state is MessageState.HELD
    await ready.store.messages.release_held(SMTP, now=ready.clock.now())
    assert await ready.queue.flush() == 0
    assert await ready.courier.flush() == 0
    assert (await ready.queue.retry(message)).state is MessageState.WAITING
    await ready.courier.flush()
    assert ready.delivered() == ["Scan"]


async def test_cancelled_message_is_gone_with_its_content(ready: Office) -> None:
    message = await ready.put()
    assert (await ready.queue.cancel(message)).state is MessageState.CANCELLED
    assert list(ready.store.folder.spool.rglob("*.eml")) == []
    assert await ready.queue.list(everything=False, limit=10) == ()
    assert len(await ready.queue.list(everything=True, limit=10)) == 1
    with pytest.raises(ConflictError):
        await ready.queue.retry(message)


async def test_message_on_its_way_cannot_be_called_back(ready: Office) -> None:
    message, now = await ready.put(), ready.clock.now()
    await ready.store.messages.claim(message, now=now, owner="courier", lease_until=now)
    for order in (ready.queue.hold, ready.queue.cancel, ready.queue.retry):
        with pytest.raises(ConflictError):
            await order(message)


async def test_flush_makes_what_waits_due(ready: Office) -> None:
    ready.world.fault("smtp/mail", body="451 4.3.0 Later")
    await ready.put()
    await ready.courier.flush()
    assert await ready.courier.flush() == 0
    assert await ready.queue.flush() == 1
    assert await ready.courier.flush() == 1


async def test_unknown_message_is_told(ready: Office) -> None:
    with pytest.raises(NotFoundError):
        await ready.queue.show("none")
