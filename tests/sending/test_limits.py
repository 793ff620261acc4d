"""Limits of a provider, kept before they bite; a provider that complains."""

import asyncio
from datetime import timedelta

import pytest

from mailbearer.model.message import MessageState
from mailbearer.model.provider import Limits
from mailbearer.providers.catalogue import load_catalogue
from mailbearer.sending.limits import LINES, Account, Limiter, throttle_in
from tests.sending.office import ANNA, BOB, Office
from tests.sending.test_courier import running, until

ACCOUNT = f"practice/{ANNA}"


async def states(office: Office) -> dict[str, int]:
    return {str(state): count for state, count in (await office.store.messages.counts()).items()}


async def test_messages_of_a_minute_are_counted_and_the_rest_waits(ready: Office) -> None:
    ready.limits["messages_per_minute"] = 3
    for number in range(7):
        await ready.put(subject=str(number))
    assert await ready.courier.flush() == 3
    assert await states(ready) == {"Accepted": 3, "Waiting": 4}
    await ready.clock.advance(seconds=61)
    assert await ready.courier.flush() == 3
    assert ready.delivered() == ["0", "1", "2", "3", "4", "5"]


async def test_running_courier_goes_on_by_itself_when_the_minute_is_over(ready: Office) -> None:
    ready.limits["messages_per_minute"] = 2
    messages = [await ready.put(subject=str(number)) for number in range(5)]
    async with running(ready.courier):
        await until(ready, messages[-1], MessageState.ACCEPTED, step=1)
    assert ready.delivered() == ["0", "1", "2", "3", "4"]
    assert (ready.clock.now() - (await ready.store.messages.get(messages[0])).created_at).total_seconds() >= 120


async def test_recipients_of_a_day_are_counted_over_processes_and_the_rest_is_held(ready: Office) -> None:
    ready.limits["recipients_per_day"] = 3
    first, second = await ready.put(BOB, ANNA), await ready.put(BOB, "carl@practice.example")
    await ready.courier.flush()
    assert await ready.state(first) == "Accepted"
    found = await ready.store.messages.get(second)
    assert (found.state, found.code, found.attempts) == (MessageState.HELD, "MB-S20", 0)
    assert [str(each.state) for each in found.recipients] == ["Accepted", "Waiting"]
    assert found.next_try == found.created_at + timedelta(hours=24)
    other = ready.new_courier()
    await ready.put()
    await other.flush()
    assert await states(ready) == {"Accepted": 1, "Held": 2}
    await ready.clock.advance(hours=25)
    await other.flush()
    assert await states(ready) == {"Accepted": 3}


async def test_line_that_nobody_waits_for_any_more_is_not_counted(ready: Office) -> None:
    def crowded() -> None:
        """Hear that others wait, which is no matter here."""

    account = Account(ACCOUNT, Limits(connections=1))
    for turns in range(0, 100, 4):  # wherever on the way to its line somebody gives up
        entering = asyncio.create_task(
            Limiter(ready.store.allowances, ready.clock).enter(account, patient=False, on_crowded=crowded)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        if not entering.cancel():
            return
        await asyncio.wait([entering])
        other = Limiter(ready.store.allowances, ready.clock)
        line = await other.enter(account, patient=False, on_crowded=crowded)
        assert line
        await other.leave(account, line, on_crowded=crowded)


async def test_recipients_who_were_refused_do_not_count(ready: Office) -> None:
    ready.limits["recipients_per_day"] = 2
    await ready.put("nobody@elsewhere.example", "no@elsewhere.example")
    await ready.put(BOB, ANNA)
    await ready.courier.flush()
    assert ready.delivered() == ["Scan"]


async def test_message_to_many_goes_in_several_transactions(ready: Office) -> None:
    ready.limits["recipients_per_message"] = 2
    whom = tuple(f"{name}@practice.example" for name in ("a", "b", "c", "d", "e"))
    message = await ready.put(*whom)
    after = await ready.put(subject="After")
    await ready.courier.flush()
    assert [ready.delivered(each) for each in whom] == [["Scan"]] * 5
    assert [await ready.state(each) for each in (message, after)] == ["Accepted"] * 2
    ended = [entry for entry in ready.world.journal if (entry.endpoint, entry.grant_type) == ("smtp", "DATA")]
    assert len(ended) == 4


async def test_of_several_transactions_one_may_fail(ready: Office) -> None:
    ready.limits["recipients_per_message"] = 1
    ready.world.fault("smtp/end", body="250 2.0.0 OK", after=True)
    ready.world.fault("smtp/end", body="451 4.3.0 Later")
    message = await ready.put(BOB, ANNA)
    await ready.courier.flush()
    found = await ready.store.messages.get(message)
    assert found.state is MessageState.RETRYING
    assert [str(each.state) for each in found.recipients] == ["Accepted", "Waiting"]
    await ready.clock.advance(minutes=2)
    await ready.courier.flush()
    assert (ready.delivered(), ready.delivered(ANNA)) == (["Scan"], ["Scan"])


async def test_message_larger_than_the_provider_takes_is_not_tried(ready: Office) -> None:
    ready.limits["size"] = 10
    message = await ready.put()
    await ready.courier.flush()
    found = await ready.store.messages.get(message)
    assert (found.state, found.code) == (MessageState.FAILED, "MB-S19")


async def test_lines_of_other_processes_count(ready: Office) -> None:
    ready.limits["connections"] = 1
    now = ready.clock.now()
    line = {"most": 1, "now": now, "until": now + timedelta(seconds=60)}
    assert await ready.store.allowances.open_line("other", ACCOUNT, **line)  # type: ignore[arg-type]
    message = await ready.put()
    assert await ready.courier.flush() == 0
    assert await ready.state(message) == "Waiting"
    await ready.store.allowances.close_line("other")
    assert await ready.courier.flush() == 1


async def test_provider_that_is_too_busy_is_left_alone_and_then_gets_less(ready: Office) -> None:
    ready.world.fault("smtp/mail", body="451 4.7.500 Server busy, retry after 120 seconds")
    for number in range(3):
        await ready.put(subject=str(number))
    assert await ready.courier.flush() == 1
    assert await states(ready) == {"Retrying": 1, "Waiting": 2}
    assert await ready.courier.flush() == 0
    await ready.clock.advance(seconds=121)
    await ready.courier.flush()
    assert await states(ready) == {"Accepted": 3}


@pytest.mark.parametrize(
    ("provider", "reply", "seconds"),
    [
        ("microsoft365", "432 4.3.2 Concurrent connections limit exceeded", 60),
        ("microsoft365", "451 4.7.500 Server busy. Please try again later", 60),
        ("google", "454 4.7.0 Too many login attempts, please try again later. - gsmtp", 900),
        ("", "421 4.7.0 Try again in 5 minutes", 300),
        ("", "450 4.2.1 rate, Retry-After: 30", 30),
        ("", "421 4.7.0 gate.example Error: too many errors", None),
        ("microsoft365", "421 4.7.0 Too many errors on this connection, closing transmission channel", None),
        ("", "421 4.7.0 Too many mistakes", None),
        ("", "421 4.7.0 Too many connections from your host", 60),
        ("", "451 4.3.0 greylisted", None),
        ("", "550 5.7.1 wait 5 minutes", None),
        ("", "", None),
    ],
)
def test_what_a_complaint_is(provider: str, reply: str, seconds: int | None) -> None:
    found = throttle_in(reply, load_catalogue().get(provider) if provider else None)
    assert found == (None if seconds is None else timedelta(seconds=seconds))


async def test_pace_falls_with_each_complaint_and_comes_back(ready: Office) -> None:
    limiter, account = Limiter(ready.store.allowances, ready.clock), Account("a", Limits(connections=4))
    assert limiter.lines_of(account) == 4
    for _ in range(2):
        await limiter.slow_down(account, timedelta(minutes=1))
    assert limiter.lines_of(account) == 1
    await ready.clock.advance(minutes=12)
    assert limiter.lines_of(account) == 2
    await ready.clock.advance(minutes=12)
    assert limiter.lines_of(account) == 4
    assert limiter.lines_of(Account("b")) == LINES


def test_catalogue_knows_what_the_big_ones_take() -> None:
    catalogue = load_catalogue()
    assert catalogue.get("microsoft365").limits == Limits(2, 25, 500, 10_000, 157_286_400)
    assert catalogue.get("google").limits.recipients_per_message == 100
