import asyncio
from dataclasses import replace

import apsw
import pytest

from mailbearer.errors import NotFoundError
from mailbearer.model.message import MessageId, MessageState, QueuedMessage, RecipientOutcome, RecipientState
from mailbearer.model.service import ServiceId
from mailbearer.store.store import Store
from tests.store.samples import MINUTE, NOW, POP, SMTP, message

M1, M2, M3 = MessageId("m1"), MessageId("m2"), MessageId("m3")


async def claimed(store: Store, *, minutes: int = 0, owner: str = "me", limit: int = 10) -> list[str]:
    now = NOW + minutes * MINUTE
    due = await store.messages.claim_due(now=now, owner=owner, lease_until=now + 10 * MINUTE, limit=limit)
    return [found.id for found in due]


async def test_a_message_comes_back_whole(store: Store) -> None:
    whole = replace(message(next_try=NOW), attempts=2, code="MB-S17", reply="451 4.7.0 later")
    await store.messages.add(whole)
    assert await store.messages.get(M1) == whole


async def test_a_broken_header_or_reply_is_no_reason_to_lose_a_message(store: Store) -> None:
    outcome = RecipientOutcome("büro@example.org", RecipientState.REFUSED, "550 \udcff no")
    broken = replace(message(), subject="caf\udce9", reply="550 \udcff", recipients=(outcome,))
    await store.messages.add(broken)
    kept = await store.messages.get(M1)
    assert (kept.subject, kept.reply, kept.recipients) == ("caf\\udce9", "550 \\udcff", (outcome,))


async def test_an_id_is_given_once(store: Store) -> None:
    await store.messages.add(message())
    with pytest.raises(apsw.ConstraintError):
        await store.messages.add(message())


async def test_an_unknown_message_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError, match="MB-W20"):
        await store.messages.get(M1)


async def test_lists_keep_the_order_of_acceptance(store: Store) -> None:
    for name in ("m3", "m1", "m2"):
        await store.messages.add(message(name))
    assert [found.id for found in await store.messages.list()] == ["m3", "m1", "m2"]
    assert [found.id for found in await store.messages.list(newest_first=True, limit=2)] == ["m2", "m1"]


async def test_lists_can_be_narrowed(store: Store) -> None:
    await store.messages.add(message("m1"))
    await store.messages.add(message("m2", service=POP, state=MessageState.HELD))
    await store.messages.add(message("m3", state=MessageState.FAILED))
    states = {MessageState.HELD, MessageState.FAILED}
    assert [found.id for found in await store.messages.list(states=states)] == ["m2", "m3"]
    assert [found.id for found in await store.messages.list(states=states, service=SMTP)] == ["m3"]
    assert await store.messages.counts() == {
        MessageState.WAITING: 1,
        MessageState.HELD: 1,
        MessageState.FAILED: 1,
    }
    assert await store.messages.ids() == {"m1", "m2", "m3"}


async def test_what_is_due_is_claimed_once_and_in_order(store: Store) -> None:
    for name in ("m2", "m1", "m3"):
        await store.messages.add(message(name))
    assert await claimed(store, limit=2) == ["m2", "m1"]
    assert await claimed(store, owner="you") == ["m3"]
    assert await claimed(store) == []
    assert (await store.messages.get(M2)).state is MessageState.SENDING


async def test_many_who_claim_at_once_never_get_the_same(store: Store) -> None:
    for number in range(40):
        await store.messages.add(message(f"m{number}"))
    batches = await asyncio.gather(*(claimed(store, owner=f"o{number}", limit=3) for number in range(20)))
    got = [name for batch in batches for name in batch]
    assert len(got) == len(set(got)) == 40


async def test_a_message_is_due_at_its_time(store: Store) -> None:
    await store.messages.add(message("m1", state=MessageState.RETRYING, next_try=NOW + 5 * MINUTE))
    assert await claimed(store, minutes=4) == []
    assert await claimed(store, minutes=5) == ["m1"]


async def test_only_the_living_are_due(store: Store) -> None:
    for state in (MessageState.FAILED, MessageState.CANCELLED, MessageState.ACCEPTED, MessageState.HELD):
        await store.messages.add(message(state.value, state=state))
    assert await claimed(store, minutes=10_000) == []
    assert await store.messages.next_due_at() is None


async def test_a_message_that_is_held_until_a_time_is_due_then(store: Store) -> None:
    await store.messages.add(message("m1", state=MessageState.HELD, next_try=NOW + 5 * MINUTE))
    assert await claimed(store) == []
    assert await claimed(store, minutes=5) == ["m1"]


async def test_one_service_can_be_claimed_for(store: Store) -> None:
    await store.messages.add(message("m1", service=POP))
    await store.messages.add(message("m2"))
    due = await store.messages.claim_due(now=NOW, owner="me", lease_until=NOW + MINUTE, limit=5, service=SMTP)
    assert [found.id for found in due] == ["m2"]


async def test_what_a_dead_sender_had_is_due_again(store: Store) -> None:
    await store.messages.add(message())
    assert await claimed(store, owner="dead") == ["m1"]
    assert await claimed(store, minutes=9) == []
    assert await claimed(store, minutes=10) == ["m1"]
    late = replace(message(), state=MessageState.ACCEPTED)
    assert not await store.messages.set_outcome(late, owner="dead")
    assert (await store.messages.get(M1)).state is MessageState.SENDING


async def test_a_long_transfer_keeps_its_lease(store: Store) -> None:
    await store.messages.add(message())
    await claimed(store)
    assert await store.messages.extend_lease(M1, owner="me", lease_until=NOW + 60 * MINUTE)
    assert not await store.messages.extend_lease(M1, owner="you", lease_until=NOW + 60 * MINUTE)
    assert await claimed(store, minutes=30) == []


async def test_one_message_can_be_claimed_before_its_time(store: Store) -> None:
    await store.messages.add(message("m1", state=MessageState.RETRYING, next_try=NOW + 60 * MINUTE))
    got = await store.messages.claim(M1, now=NOW, owner="me", lease_until=NOW + MINUTE)
    assert got is not None
    assert got.state is MessageState.SENDING
    assert await store.messages.claim(M1, now=NOW, owner="you", lease_until=NOW + MINUTE) is None
    assert await store.messages.claim(M2, now=NOW, owner="you", lease_until=NOW + MINUTE) is None


async def test_the_outcome_of_an_attempt_is_kept(store: Store) -> None:
    await store.messages.add(message())
    await claimed(store)
    outcome = replace(
        message(state=MessageState.RETRYING, next_try=NOW + MINUTE),
        attempts=1,
        recipients=(
            RecipientOutcome("office@example.com", RecipientState.ACCEPTED, "250 2.1.5 ok"),
            RecipientOutcome("büro@example.org", RecipientState.WAITING, "450 4.2.0 later"),
        ),
        code="MB-S18",
        reply="450 4.2.0 later",
    )
    assert await store.messages.set_outcome(outcome, owner="me")
    assert await store.messages.get(M1) == outcome
    assert not await store.messages.set_outcome(outcome, owner="me")
    assert await claimed(store, minutes=1) == ["m1"]


async def test_a_person_moves_only_what_is_in_the_states_named(store: Store) -> None:
    await store.messages.add(message())
    change_state = store.messages.change_state
    assert not await change_state(M1, among={MessageState.HELD}, to=MessageState.WAITING)
    assert await change_state(M1, among={MessageState.WAITING}, to=MessageState.HELD, code="")
    assert await change_state(M1, among={MessageState.HELD, MessageState.FAILED}, to=MessageState.WAITING, next_try=NOW)
    assert await claimed(store) == ["m1"]
    assert not await change_state(M1, among=frozenset(MessageState), to=MessageState.CANCELLED)


async def test_a_new_token_releases_what_waited_for_it_in_order(store: Store) -> None:
    held = MessageState.HELD
    await store.messages.add(message("m2", state=held, code="MB-S24"))
    await store.messages.add(message("m1", state=held, code="MB-T07", next_try=NOW + 600 * MINUTE))
    await store.messages.add(message("m3", state=held))  # by a person
    await store.messages.add(message("m4", service=POP, state=held, code="MB-S24"))
    assert await store.messages.release_held(SMTP, now=NOW) == 2
    assert await claimed(store) == ["m2", "m1"]


async def test_everything_that_waits_can_be_made_due(store: Store) -> None:
    later = NOW + 60 * MINUTE
    await store.messages.add(message("m1", state=MessageState.RETRYING, next_try=later))
    await store.messages.add(message("m2", state=MessageState.HELD, code="MB-S24"))
    await store.messages.add(message("m3", state=MessageState.HELD))  # by a person
    await store.messages.add(message("m4", state=MessageState.FAILED))
    assert await store.messages.make_due(now=NOW) == 2
    assert await claimed(store) == ["m1", "m2"]


async def test_a_message_that_failed_can_be_tried_again(store: Store) -> None:
    await store.messages.add(replace(message(state=MessageState.FAILED, code="MB-S17"), attempts=9))
    assert await store.messages.again(message())
    assert await store.messages.get(M1) == message()
    assert not await store.messages.again(message())


async def test_services_with_mail_due_are_told_in_order(store: Store) -> None:
    await store.messages.add(message("m1", service=POP))
    await store.messages.add(message("m2"))
    await store.messages.add(message("m3", service=POP))
    later = message("m4", service=ServiceId("smtp.other"), state=MessageState.RETRYING, next_try=NOW + MINUTE)
    await store.messages.add(later)
    assert await store.messages.services_due(NOW) == (POP, SMTP)


async def test_the_next_time_is_the_earliest_of_all(store: Store) -> None:
    assert await store.messages.next_due_at() is None
    await store.messages.add(message("m1", state=MessageState.RETRYING, next_try=NOW + 30 * MINUTE))
    assert await store.messages.next_due_at() == NOW + 30 * MINUTE
    await store.messages.add(message("m2"))
    assert await store.messages.next_due_at() == NOW
    await claimed(store)
    assert await store.messages.next_due_at() == NOW + 10 * MINUTE  # the lease


async def test_old_history_goes_and_the_living_stay(store: Store) -> None:
    def old(name: str, state: MessageState) -> QueuedMessage:
        return replace(message(name, state=state), created_at=NOW - 60 * 24 * 60 * MINUTE)

    for number, state in enumerate(MessageState):
        await store.messages.add(old(f"m{number}", state))
    await store.messages.add(message("new", state=MessageState.ACCEPTED))
    gone = await store.messages.forget(NOW - MINUTE)
    assert sorted(gone) == ["m4", "m5", "m6"]
    assert await store.messages.ids() == {"m0", "m1", "m2", "m3", "new"}


async def test_many_that_come_at_once_are_in_the_order_in_which_they_came(store: Store) -> None:
    names = [f"m{number:03}" for number in (*range(150, 0, -1), *range(151, 160))]
    kept = await asyncio.gather(*(store.messages.add(message(name)) for name in names))
    assert [each.id for each in kept] == names
    assert [each.id for each in await store.messages.list(limit=1000)] == names


async def test_one_that_cannot_be_stored_does_not_hurt_those_that_come_with_it(store: Store) -> None:
    await store.messages.add(message("m3"))
    names = [f"m{number}" for number in range(7)]
    kept = await asyncio.gather(*(store.messages.add(message(name)) for name in names), return_exceptions=True)
    assert [isinstance(each, BaseException) for each in kept] == [name == "m3" for name in names]
    assert sorted(each.id for each in await store.messages.list()) == names
