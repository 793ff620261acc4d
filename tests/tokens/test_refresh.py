import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from mailbearer.errors import ConnectError, TokenUnavailableError
from mailbearer.model.token import TokenStatus
from mailbearer.providers.quirks import Quirk
from mailbearer.tokens.context import ChangeKind
from mailbearer.tokens.refresh import LEASE
from tests.tokens.authority import FakeAuthority, no, yes
from tests.tokens.room import SMTP, EagerClock, opened

HOUR = 3600.0


async def test_a_token_that_is_not_due_is_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        grant = await room.get_token()
        assert await room.renewals.renew(SMTP.id) == grant
        assert room.authority.asked["refresh_token"] == 0


async def test_a_renewal_replaces_both_tokens_and_outlives_a_restart(tmp_path: Path) -> None:
    clock = EagerClock()
    authority = FakeAuthority(clock)
    async with opened(tmp_path, clock, authority=authority) as room:
        before = await room.get_token()
        await clock.advance(HOUR)
        renewed = await room.renewals.renew(SMTP.id)
        assert renewed.version == before.version + 1
        assert renewed.tokens.refresh_token != before.tokens.refresh_token
        assert ChangeKind.RENEWED in [change.kind for change in room.heard]
    async with opened(tmp_path, clock, authority=authority) as room:
        assert await room.held() == renewed


async def test_a_provider_that_keeps_the_refresh_token_may_leave_it_out(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        room.authority.rotation = "keep"
        before = await room.get_token()
        await room.clock.sleep(HOUR)
        renewed = await room.renewals.renew(SMTP.id)
        assert renewed.tokens.refresh_token == before.tokens.refresh_token
        assert renewed.tokens.access_token != before.tokens.access_token
        assert renewed.tokens.scope == before.tokens.scope


async def test_fifty_callers_make_one_renewal(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(HOUR)
        room.authority.delay_turns = 50
        grants = await asyncio.gather(*(room.renewals.renew(SMTP.id) for _ in range(50)))
        assert {grant.version for grant in grants} == {2}
        assert room.authority.asked["refresh_token"] == 1


async def test_fifty_callers_with_a_refused_token_make_one_renewal(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        token = (await room.get_token()).tokens.access_token
        await room.clock.sleep(120)
        grants = await asyncio.gather(*(room.renewals.renew(SMTP.id, refused=token) for _ in range(50)))
        assert {grant.version for grant in grants} == {2}
        assert room.authority.asked["refresh_token"] == 1


async def test_a_complaint_that_joins_an_idle_renewal_is_heard_all_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        token = (await room.get_token()).tokens.access_token
        await room.clock.sleep(120)
        _, renewed = await asyncio.gather(room.renewals.renew(SMTP.id), room.renewals.renew(SMTP.id, refused=token))
        assert renewed.tokens.access_token != token


async def test_two_processes_make_one_renewal(tmp_path: Path) -> None:
    clock = EagerClock()
    authority = FakeAuthority(clock)
    async with opened(tmp_path, clock, authority=authority) as one, opened(tmp_path, clock, authority=authority) as two:
        await one.get_token()
        await clock.advance(HOUR)
        authority.delay_turns = 200
        grants = await asyncio.gather(*(room.renewals.renew(SMTP.id) for room in (one, two) * 10))
        assert {grant.version for grant in grants} == {2}
        assert (authority.asked["refresh_token"], authority.reused) == (1, 0)


async def test_a_lease_of_a_process_that_died_ends(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(HOUR)
        now = room.clock.now()
        await room.store.grants.lease(SMTP.id, owner="dead", until=now + LEASE, now=now)
        assert (await room.renewals.renew(SMTP.id)).version == 2
        assert room.clock.now() - now >= LEASE


async def test_a_lease_from_before_the_clock_was_set_back_ends_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        now = room.clock.now()
        tomorrow = now + timedelta(days=1)
        await room.store.grants.lease(SMTP.id, owner="dead", until=tomorrow, now=tomorrow)
        await room.clock.sleep(HOUR)
        assert (await room.renewals.renew(SMTP.id)).version == 2
        assert room.clock.now() < now + timedelta(hours=2)


async def test_a_caller_that_goes_away_does_not_end_the_renewal(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(HOUR)
        room.authority.gate = asyncio.Event()
        caller = asyncio.create_task(room.renewals.renew(SMTP.id))
        await room.authority.wait_in_flight()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        room.authority.gate.set()
        assert (await room.renewals.renew(SMTP.id)).version == 2
        assert room.authority.asked["refresh_token"] == 1


async def test_leaving_waits_for_the_renewal_in_flight(tmp_path: Path) -> None:
    clock = EagerClock()
    authority = FakeAuthority(clock)
    async with opened(tmp_path, clock, authority=authority) as room:
        await room.get_token()
        await clock.advance(HOUR)
        authority.delay_turns = 200
        caller = asyncio.create_task(room.renewals.renew(SMTP.id))
        await authority.wait_in_flight()
        caller.cancel()
    async with opened(tmp_path, clock, authority=authority) as room:
        assert (await room.held()).version == 2


async def test_a_delete_during_a_renewal_wins(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(HOUR)
        room.authority.gate = asyncio.Event()
        renewal = asyncio.create_task(room.renewals.renew(SMTP.id))
        await room.authority.wait_in_flight()
        await room.delete()
        room.authority.gate.set()
        with pytest.raises(TokenUnavailableError) as caught:
            await renewal
        assert caught.value.code == "MB-T54"
        assert await room.status() is TokenStatus.NOT_RETRIEVED
        assert room.authority.alive == {}, "the late token was revoked too"
        assert await room.store.journal.recover() == []


async def test_a_new_sign_in_during_a_renewal_wins(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(HOUR)
        room.authority.gate = asyncio.Event()
        renewal = asyncio.create_task(room.renewals.renew(SMTP.id))
        await room.authority.wait_in_flight()
        gate, room.authority.gate = room.authority.gate, None
        new = await room.get_token()
        gate.set()
        assert await renewal == new
        assert room.authority.revoked == []


async def test_without_a_grant_there_is_nothing_to_renew(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        with pytest.raises(TokenUnavailableError) as caught:
            await room.renewals.renew(SMTP.id)
        assert caught.value.code == "MB-T54"


async def test_only_a_definite_no_makes_it_invalid_and_nothing_erases_the_tokens(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        before = await room.get_token()
        await room.clock.sleep(HOUR)
        room.authority.faults = [lambda _: no("invalid_grant")]
        with pytest.raises(TokenUnavailableError) as caught:
            await room.renewals.renew(SMTP.id)
        held = await room.held()
        assert caught.value.message == "Token update failed. Please delete the token and obtain it again."
        assert held.tokens == before.tokens
        assert held.next_try == room.clock.now() + timedelta(hours=1)
        assert await room.status() is TokenStatus.INVALID
        assert [change.kind for change in room.heard][-1] is ChangeKind.INVALID


async def test_while_invalid_it_is_tried_hourly_and_heals_by_itself(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        room.of_provider(family="microsoft")
        await room.get_token()
        await room.clock.sleep(HOUR)
        room.authority.disabled = True
        for _ in range(5):
            with pytest.raises(TokenUnavailableError):
                await room.renewals.renew(SMTP.id)
            await room.clock.sleep(60)
        assert room.authority.asked["refresh_token"] == 1
        facts = await room.facts()
        assert facts.reason is not None
        assert (facts.reason.code, facts.reason.number) == ("MB-T11", 50057)
        room.authority.disabled = False
        await room.clock.sleep(HOUR)
        await room.renewals.renew(SMTP.id)
        assert await room.status() is TokenStatus.RETRIEVED
        assert [change.kind for change in room.heard][-1] is ChangeKind.HEALED


async def test_since_when_it_is_invalid_stays(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(HOUR)
        room.authority.disabled = True
        since = room.clock.now()
        for _ in range(3):
            with pytest.raises(TokenUnavailableError):
                await room.renewals.renew(SMTP.id)
            await room.clock.sleep(HOUR)
        reason = (await room.facts()).reason
        assert reason is not None
        assert reason.since == since
        assert (await room.held()).failures == 3


@pytest.mark.parametrize(
    "fault",
    [
        lambda _: no("temporarily_unavailable", 503),
        lambda _: no("slow_down", 429),
        lambda _: yes(token_type="Bearer"),
        ConnectError("MB-T01", host="login.example.com"),
    ],
)
async def test_what_passes_leaves_the_status_and_is_asked_less_and_less_often(tmp_path: Path, fault: object) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(HOUR)
        pauses = []
        for _ in range(12):
            room.authority.faults = [fault]  # type: ignore[list-item]
            with pytest.raises(TokenUnavailableError):
                await room.renewals.renew(SMTP.id)
            held = await room.held()
            assert held.next_try is not None
            pauses.append((held.next_try - room.clock.now()).total_seconds())
            await room.clock.sleep(pauses[-1])
        assert pauses == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900, 900]
        assert await room.status() is TokenStatus.RETRIEVED
        assert (await room.facts()).trouble is not None
        await room.renewals.renew(SMTP.id)
        assert (await room.facts()).trouble is None


async def test_retry_after_is_obeyed_even_by_force(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(HOUR)
        busy = no("temporarily_unavailable", 503)
        room.authority.faults = [lambda _: type(busy)(503, {"retry-after": "600"}, busy.body)]
        for _ in range(3):
            with pytest.raises(TokenUnavailableError):
                await room.renewals.renew(SMTP.id, force=True)
            await room.clock.sleep(150)
        assert room.authority.asked["refresh_token"] == 1
        await room.clock.sleep(150)
        assert (await room.renewals.renew(SMTP.id)).version == 2


async def test_a_wrong_client_secret_leaves_the_status_and_is_tried_each_quarter_hour(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(HOUR)
        room.authority.faults = [lambda _: no("invalid_client", 401)]
        with pytest.raises(TokenUnavailableError) as caught:
            await room.renewals.renew(SMTP.id)
        assert caught.value.code == "MB-T14"
        facts = await room.facts()
        assert facts.status is TokenStatus.RETRIEVED
        assert facts.trouble is not None
        assert facts.trouble.next_try == room.clock.now() + timedelta(minutes=15)


async def test_force_renews_what_is_not_due_but_not_twice_in_a_minute(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(120)
        assert (await room.renewals.renew(SMTP.id, force=True)).version == 2
        assert (await room.renewals.renew(SMTP.id, force=True)).version == 2
        await room.clock.sleep(61)
        assert (await room.renewals.renew(SMTP.id, force=True)).version == 3


async def test_force_does_not_repeat_a_refused_request_within_a_minute(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(120)
        room.authority.disabled = True
        for _ in range(3):
            with pytest.raises(TokenUnavailableError):
                await room.renewals.renew(SMTP.id, force=True)
        assert room.authority.asked["refresh_token"] == 1
        room.authority.disabled = False
        await room.clock.sleep(61)
        assert (await room.renewals.renew(SMTP.id, force=True)).invalid is None


async def test_a_lost_answer_at_a_strict_provider_is_told_as_such(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(HOUR)
        room.authority.lose = 1
        with pytest.raises(TokenUnavailableError) as first:
            await room.renewals.renew(SMTP.id)
        assert first.value.code == "MB-T01"
        assert await room.status() is TokenStatus.RETRIEVED
        await room.clock.sleep(5)
        with pytest.raises(TokenUnavailableError) as second:
            await room.renewals.renew(SMTP.id)
        assert second.value.code == "MB-T42"
        assert await room.status() is TokenStatus.INVALID


async def test_a_lost_answer_at_a_provider_that_keeps_the_old_token_is_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        room.of_provider(quirks=frozenset({Quirk.OLD_REFRESH_TOKEN_STAYS_GOOD}))
        await room.get_token()
        await room.clock.sleep(HOUR)
        room.authority.lose = 1
        for code in ("MB-T01", "MB-T07"):
            with pytest.raises(TokenUnavailableError) as caught:
                await room.renewals.renew(SMTP.id)
            assert caught.value.code == code
            await room.clock.sleep(5)


async def test_a_grant_without_refresh_token_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        room.authority.gives_refresh_token = False
        grant = await room.get_token_unchecked()
        await room.clock.sleep(HOUR)
        with pytest.raises(TokenUnavailableError) as caught:
            await room.renewals.renew(grant.service)
        assert caught.value.code == "MB-T21"


async def test_a_mistake_of_ours_harms_no_other_grant(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(HOUR)
        for _ in range(20):
            room.authority.faults = [ZeroDivisionError()]
            with pytest.raises(ZeroDivisionError):
                await room.renewals.renew(SMTP.id)
        assert (await room.renewals.renew(SMTP.id)).version == 2


async def test_an_unusable_registration_is_trouble_beside_the_status(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(HOUR)
        room.of_provider(endpoints=type(room.party.provider.endpoints)("", "", "", "", ""))
        with pytest.raises(TokenUnavailableError) as caught:
            await room.renewals.renew(SMTP.id)
        assert caught.value.code == "MB-W05"
        assert await room.status() is TokenStatus.RETRIEVED
