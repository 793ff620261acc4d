from dataclasses import replace
from datetime import timedelta

import pytest

from mailbearer.errors import ConflictError
from mailbearer.model.grant import Ended
from mailbearer.store.store import Store
from tests.store.samples import MINUTE, NOW, POP, SMTP, TROUBLE, pending


async def test_a_sign_in_comes_back_whole(store: Store) -> None:
    whole = replace(pending(), next_poll=None)
    await store.pendings.begin(whole)
    await store.pendings.begin(pending("p2", POP))
    assert await store.pendings.get(SMTP) == whole
    assert await store.pendings.all() == (pending("p2", POP), whole)


async def test_a_second_sign_in_is_told_who_began_the_first(store: Store) -> None:
    await store.pendings.begin(pending())
    with pytest.raises(ConflictError) as caught:
        await store.pendings.begin(pending("p2", started_at=NOW + MINUTE))
    assert caught.value.code == "MB-T29"
    assert caught.value.fields == {"service": SMTP, "person": "Ada Lind", "when": "at 09:00 UTC"}
    assert await store.pendings.get(SMTP) == pending()


async def test_starting_over_drops_the_first(store: Store) -> None:
    await store.pendings.begin(pending())
    await store.pendings.begin(pending("p2"), replace=True)
    assert await store.pendings.get(SMTP) == pending("p2")


async def test_a_sign_in_that_ran_out_gives_way(store: Store) -> None:
    await store.pendings.begin(pending())
    later = pending("p2", started_at=NOW + 15 * MINUTE)
    await store.pendings.begin(later)
    assert await store.pendings.get(SMTP) == later


async def test_the_next_poll_and_a_longer_interval_are_kept(store: Store) -> None:
    await store.pendings.begin(pending())
    when, interval = NOW + MINUTE, timedelta(seconds=10)
    assert await store.pendings.set_next_poll(SMTP, "p1", next_poll=when, interval=interval)
    assert await store.pendings.get(SMTP) == replace(pending(), next_poll=when, interval=interval)
    assert not await store.pendings.set_next_poll(SMTP, "p0", next_poll=when, interval=interval)


async def test_how_a_sign_in_ended_is_kept_until_the_next(store: Store) -> None:
    ended = Ended(SMTP, "p1", NOW, TROUBLE)
    assert not await store.pendings.finish(ended)
    await store.pendings.begin(pending())
    assert await store.pendings.finish(ended)
    assert not await store.pendings.finish(ended)
    assert await store.pendings.ended(SMTP) == ended
    await store.pendings.begin(pending("p2"))
    assert await store.pendings.ended(SMTP) is None
    assert await store.pendings.finish(Ended(SMTP, "p2", NOW, None))
    await store.grants.delete(SMTP)
    assert await store.pendings.ended(SMTP) is None


async def test_cancelling_leaves_no_trace(store: Store) -> None:
    await store.pendings.begin(pending())
    assert not await store.pendings.cancel(SMTP, "p0")
    assert await store.pendings.cancel(SMTP, "p1")
    assert not await store.pendings.cancel(SMTP)
    await store.pendings.begin(pending())
    assert await store.pendings.cancel(SMTP)
    assert await store.pendings.get(SMTP) is None
    assert await store.pendings.ended(SMTP) is None


async def test_one_at_a_time_polls(store: Store) -> None:
    assert await store.pendings.lease(SMTP, "me", until=NOW + MINUTE, now=NOW) is None
    await store.pendings.begin(pending())
    assert await store.pendings.lease(SMTP, "me", until=NOW + MINUTE, now=NOW) == pending()
    assert await store.pendings.lease(SMTP, "you", until=NOW + MINUTE, now=NOW) is None
    await store.pendings.release(SMTP, "you")
    assert await store.pendings.lease(SMTP, "you", until=NOW + MINUTE, now=NOW) is None
    await store.pendings.release(SMTP, "me")
    assert await store.pendings.lease(SMTP, "you", until=NOW + MINUTE, now=NOW) == pending()
    assert await store.pendings.lease(SMTP, "me", until=NOW + 2 * MINUTE, now=NOW + MINUTE) == pending()
