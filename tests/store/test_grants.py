import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from mailbearer.clock import SystemClock
from mailbearer.store.grants import GrantTimes, SealedGrant
from mailbearer.store.store import Store
from tests.store.samples import MINUTE, NOW, POP, SMTP, TROUBLE, grant, pending

Result = TypeVar("Result")
writers = st.sampled_from(["one", "two"])


async def test_a_grant_comes_back_whole(store: Store) -> None:
    whole = replace(grant(), invalid=TROUBLE, trouble=TROUBLE, failures=3, next_try=NOW, account_confirmed=False)
    assert await store.grants.insert(whole)
    assert await store.grants.get(SMTP) == whole
    assert await store.grants.all() == (whole,)


async def test_the_times_of_all_grants_can_be_read_without_the_rest(store: Store) -> None:
    await store.grants.insert(grant())
    await store.grants.insert(grant(service=POP))
    assert await store.grants.times() == tuple(
        GrantTimes(each.service, each.version, each.access_expires_at, each.refreshed_at, each.next_try)
        for each in await store.grants.all()
    )


async def test_services_have_grants_of_their_own(store: Store) -> None:
    await store.grants.insert(grant())
    await store.grants.insert(grant(service=POP))
    await store.grants.delete(SMTP)
    assert await store.grants.get(SMTP) is None
    assert await store.grants.all() == (grant(service=POP),)
    assert (await store.grants.epoch(SMTP), await store.grants.epoch(POP)) == (2, 1)


async def test_a_second_insert_is_refused(store: Store) -> None:
    assert await store.grants.insert(grant())
    assert not await store.grants.insert(grant(2))
    assert not await store.grants.insert(grant(1))


async def test_renewed_tokens_replace_those_that_were_read(store: Store) -> None:
    await store.grants.insert(grant())
    renewed = grant(2, sealed=b"new")
    assert await store.grants.replace(renewed, expected_version=1)
    assert await store.grants.get(SMTP) == renewed


async def test_a_stale_renewal_loses(store: Store) -> None:
    await store.grants.insert(grant())
    await store.grants.replace(grant(2), expected_version=1)
    assert not await store.grants.replace(grant(2, sealed=b"late"), expected_version=1)
    assert not await store.grants.replace(grant(4, sealed=b"jump"), expected_version=2)
    assert await store.grants.get(SMTP) == grant(2)


async def test_a_deleted_grant_does_not_come_back_by_a_late_renewal(store: Store) -> None:
    await store.grants.insert(grant())
    assert await store.grants.lease(SMTP, "me", until=NOW + MINUTE, now=NOW)
    assert await store.grants.delete(SMTP) == grant()
    assert not await store.grants.replace(grant(2), expected_version=1)
    assert await store.grants.get(SMTP) is None
    assert await store.grants.delete(SMTP) is None


async def test_versions_never_come_again(store: Store) -> None:
    await store.grants.insert(grant())
    await store.grants.delete(SMTP)
    assert not await store.grants.insert(grant(1))
    assert not await store.grants.insert(grant(2))  # drawn before the deletion, which took that number
    assert await store.grants.insert(grant(3))
    assert not await store.grants.replace(grant(2), expected_version=1)


async def test_deleting_nothing_still_stops_a_first_insert_under_way(store: Store) -> None:
    drawn = await store.grants.epoch(SMTP) + 1
    await store.grants.delete(SMTP)
    assert not await store.grants.insert(grant(drawn))


async def test_a_note_about_the_tokens_leaves_their_version_alone(store: Store) -> None:
    await store.grants.insert(grant())
    noted = {"invalid": TROUBLE, "trouble": None, "failures": 2, "next_try": NOW}
    assert await store.grants.update_state(SMTP, expected_version=1, **noted)  # type: ignore[arg-type]
    assert await store.grants.get(SMTP) == replace(grant(), **noted)  # type: ignore[arg-type]
    assert await store.grants.replace(grant(2), expected_version=1)


async def test_a_note_about_tokens_of_yesterday_is_dropped(store: Store) -> None:
    await store.grants.insert(grant())
    await store.grants.replace(grant(2), expected_version=1)
    late = store.grants.update_state(SMTP, expected_version=1, invalid=TROUBLE, trouble=None, failures=1, next_try=None)
    assert not await late
    assert await store.grants.get(SMTP) == grant(2)


async def test_one_at_a_time_has_the_lease(store: Store) -> None:
    await store.grants.insert(grant())
    assert await store.grants.lease(SMTP, "me", until=NOW + MINUTE, now=NOW) == grant()
    assert await store.grants.lease(SMTP, "you", until=NOW + MINUTE, now=NOW) is None
    assert await store.grants.lease(SMTP, "me", until=NOW + MINUTE, now=NOW) is None
    await store.grants.release(SMTP, "you")  # not his to give back
    assert await store.grants.lease(SMTP, "you", until=NOW + MINUTE, now=NOW) is None
    await store.grants.release(SMTP, "me")
    assert await store.grants.lease(SMTP, "you", until=NOW + MINUTE, now=NOW) == grant()


async def test_a_lease_that_ran_out_is_free(store: Store) -> None:
    await store.grants.insert(grant())
    await store.grants.lease(SMTP, "dead", until=NOW + MINUTE, now=NOW)
    assert await store.grants.lease(SMTP, "me", until=NOW + 2 * MINUTE, now=NOW + MINUTE) == grant()


async def test_whoever_read_the_clock_earlier_and_writes_later_does_not_get_the_lease(store: Store) -> None:
    await store.grants.insert(grant())
    assert await store.grants.lease(SMTP, "me", until=NOW + MINUTE, now=NOW)
    earlier = NOW - MINUTE / 6
    assert await store.grants.lease(SMTP, "you", until=earlier + MINUTE, now=earlier) is None


async def test_a_lease_from_before_the_clock_was_set_back_is_void(store: Store) -> None:
    await store.grants.insert(grant())
    assert await store.grants.lease(SMTP, "me", until=NOW + MINUTE, now=NOW)
    earlier = NOW - 60 * MINUTE
    assert await store.grants.lease(SMTP, "you", until=earlier + MINUTE, now=earlier) == grant()


async def test_there_is_no_lease_without_a_grant(store: Store) -> None:
    assert await store.grants.lease(SMTP, "me", until=NOW + MINUTE, now=NOW) is None


async def test_new_tokens_end_the_lease(store: Store) -> None:
    await store.grants.insert(grant())
    await store.grants.lease(SMTP, "me", until=NOW + MINUTE, now=NOW)
    await store.grants.replace(grant(2), expected_version=1)
    assert await store.grants.lease(SMTP, "you", until=NOW + MINUTE, now=NOW) == grant(2)


async def test_a_sign_in_that_is_done_becomes_the_grant(store: Store) -> None:
    await store.pendings.begin(pending())
    assert await store.grants.complete(grant(), pending="p1")
    assert await store.grants.get(SMTP) == grant()
    assert await store.pendings.get(SMTP) is None
    ended = await store.pendings.ended(SMTP)
    assert ended is not None
    assert (ended.id, ended.at, ended.trouble) == ("p1", grant().obtained_at, None)


async def test_a_sign_in_replaces_what_is_held_and_its_lease(store: Store) -> None:
    await store.grants.insert(grant())
    await store.grants.lease(SMTP, "renewal", until=NOW + MINUTE, now=NOW)
    await store.pendings.begin(pending())
    assert await store.grants.complete(grant(2, sealed=b"new"), pending="p1")
    assert not await store.grants.replace(grant(2, sealed=b"late renewal"), expected_version=1)
    assert await store.grants.get(SMTP) == grant(2, sealed=b"new")
    assert await store.grants.lease(SMTP, "me", until=NOW + MINUTE, now=NOW) is not None


async def test_a_sign_in_that_meets_a_renewal_tries_the_next_version(store: Store) -> None:
    await store.grants.insert(grant())
    await store.pendings.begin(pending())
    await store.grants.replace(grant(2), expected_version=1)
    assert not await store.grants.complete(grant(2, sealed=b"new"), pending="p1")
    assert await store.pendings.get(SMTP) == pending()  # still under way, nothing lost
    assert await store.grants.complete(grant(3, sealed=b"new"), pending="p1")


@pytest.mark.parametrize("how", ["deleted", "cancelled", "begun anew"])
async def test_a_sign_in_that_is_no_longer_under_way_stores_nothing(store: Store, how: str) -> None:
    await store.pendings.begin(pending())
    match how:
        case "deleted":
            await store.grants.delete(SMTP)
        case "cancelled":
            await store.pendings.cancel(SMTP, "p1")
        case _:
            await store.pendings.begin(pending("p2"), replace=True)
    version = await store.grants.epoch(SMTP) + 1
    assert not await store.grants.complete(grant(version), pending="p1")
    assert await store.grants.get(SMTP) is None


class GrantsOfTwoWriters(RuleBasedStateMachine):
    """Whatever two writers and a person who deletes do: tokens that were deleted or replaced are never seen again."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = TemporaryDirectory()
        self.store = self.run(Store.open(Path(self.folder.name), SystemClock()))
        self.read: dict[str, SealedGrant | None] = {}
        self.epochs: dict[str, int] = {}
        self.gone: set[int] = set()
        self.held: int | None = None

    def run(self, what: Coroutine[object, object, Result]) -> Result:
        return self.loop.run_until_complete(what)

    def stored(self, version: int) -> None:
        if self.held is not None:
            self.gone.add(self.held)
        self.held = version

    @rule(who=writers)
    def look(self, who: str) -> None:
        self.read[who] = self.run(self.store.grants.get(SMTP))
        self.epochs[who] = self.run(self.store.grants.epoch(SMTP))

    @rule(who=writers)
    def renew(self, who: str) -> None:
        read = self.read.get(who)
        if read is not None and self.run(
            self.store.grants.replace(grant(read.version + 1), expected_version=read.version)
        ):
            assert self.held == read.version
            self.stored(read.version + 1)

    @rule(who=writers)
    def insert(self, who: str) -> None:
        version = self.epochs.get(who, 0) + 1
        if self.run(self.store.grants.insert(grant(version))):
            assert self.held is None
            self.stored(version)

    @rule(who=writers, name=st.sampled_from(["p1", "p2"]))
    def complete(self, who: str, name: str) -> None:
        version = self.epochs.get(who, 0) + 1
        if self.run(self.store.grants.complete(grant(version), pending=name)):
            self.stored(version)

    @rule(name=st.sampled_from(["p1", "p2"]))
    def begin(self, name: str) -> None:
        self.run(self.store.pendings.begin(pending(name), replace=True))

    @rule()
    def delete(self) -> None:
        self.run(self.store.grants.delete(SMTP))
        if self.held is not None:
            self.gone.add(self.held)
        self.held = None

    @invariant()
    def what_is_held_is_what_was_stored_last(self) -> None:
        held = self.run(self.store.grants.get(SMTP))
        assert (held and held.version) == self.held
        assert self.held not in self.gone

    def teardown(self) -> None:
        self.run(self.store.close())
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()


@pytest.mark.slow
def test_whatever_two_writers_do_the_deleted_stay_deleted() -> None:
    run_state_machine_as_test(
        GrantsOfTwoWriters, settings=settings(max_examples=20, stateful_step_count=25, deadline=None)
    )
