import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailbearer.errors import ConnectError, ForeignServerError, TokenUnavailableError
from mailbearer.model.secret import Secret
from mailbearer.model.token import TokenStatus
from mailbearer.tokens.context import ChangeKind
from tests.tokens.authority import REGISTRATION, FakeAuthority, no
from tests.tokens.room import SMTP, EagerClock, opened

HOUR = 3600.0


async def test_a_live_token_is_given_out_without_asking_anybody(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        grant = await room.get_token()
        access = await room.source.access_token(SMTP.id)
        assert access.token == grant.tokens.access_token
        assert room.source.cached(SMTP.id) is access
        assert await room.source.access_token(SMTP.id) is access


async def test_the_way_of_a_live_token_costs_microseconds(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.source.access_token(SMTP.id, server="smtp.example.com")
        began = time.process_time()
        for _ in range(1000):
            await room.source.access_token(SMTP.id, server="smtp.example.com")
        assert time.process_time() - began < 0.1  # a tenth of a millisecond each, on a busy machine


async def test_what_another_process_deletes_is_noticed_within_a_second(tmp_path: Path) -> None:
    clock = EagerClock()
    authority = FakeAuthority(clock)
    async with opened(tmp_path, clock, authority=authority) as one, opened(tmp_path, clock, authority=authority) as two:
        await one.get_token()
        await one.source.access_token(SMTP.id)
        await two.delete()
        await clock.advance(1)
        with pytest.raises(TokenUnavailableError) as caught:
            await one.source.access_token(SMTP.id)
        assert caught.value.code == "MB-T54"


async def test_what_this_process_deletes_is_gone_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.source.access_token(SMTP.id)
        await room.delete()
        assert room.source.cached(SMTP.id) is None
        with pytest.raises(TokenUnavailableError):
            await room.source.access_token(SMTP.id)


async def test_a_token_that_is_due_is_renewed_first_also_for_fifty_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(HOUR - 8 * 60)
        tokens = await asyncio.gather(*(room.source.access_token(SMTP.id) for _ in range(50)))
        assert len({access.token.reveal() for access in tokens}) == 1
        assert room.authority.asked["refresh_token"] == 1
        assert tokens[0].expires_at == room.clock.now() + timedelta(hours=1)


async def test_a_token_that_still_lives_is_used_when_its_renewal_fails_for_now(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        grant = await room.get_token()
        await room.clock.sleep(HOUR - 8 * 60)
        room.authority.faults = [ConnectError("MB-T01", host="login.example.com")] * 99
        assert (await room.source.access_token(SMTP.id)).token == grant.tokens.access_token
        await room.clock.sleep(8 * 60)
        with pytest.raises(TokenUnavailableError) as caught:
            await room.source.access_token(SMTP.id)
        assert caught.value.code == "MB-T01"
        assert await room.status() is TokenStatus.RETRIEVED


async def test_within_the_pause_a_dead_token_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(HOUR)
        room.authority.faults = [lambda _: no("invalid_client", 401)]
        for _ in range(3):
            with pytest.raises(TokenUnavailableError) as caught:
                await room.source.access_token(SMTP.id)
            assert caught.value.code == "MB-T14"
        assert room.authority.asked["refresh_token"] == 1


async def test_an_invalid_grant_gives_nothing_and_says_why(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(HOUR - 8 * 60)
        room.authority.disabled = True
        for _ in range(2):
            with pytest.raises(TokenUnavailableError) as caught:
                await room.source.access_token(SMTP.id)
            assert caught.value.code == "MB-T07"


async def test_a_token_goes_to_servers_of_its_provider_only(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.source.access_token(SMTP.id, server="SMTP.example.com.")
        for _ in range(2):
            with pytest.raises(ForeignServerError) as caught:
                await room.source.access_token(SMTP.id, server="smtp.evil.example")
            assert caught.value.code == "MB-T40"
        room.party.registration = replace(REGISTRATION, extra_hosts=("smtp.evil.example",))
        await room.source.access_token(SMTP.id, server="smtp.evil.example")


async def test_a_refused_token_is_renewed_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        old = (await room.get_token()).tokens.access_token
        await room.clock.sleep(120)
        again = await asyncio.gather(*(room.source.refused(SMTP.id, old, room.trouble()) for _ in range(50)))
        assert len({access.token.reveal() for access in again}) == 1
        assert again[0].token != old
        assert room.authority.asked["refresh_token"] == 1
        assert await room.status() is TokenStatus.RETRIEVED


async def test_a_second_refusal_of_the_fresh_token_makes_it_invalid(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        old = (await room.get_token()).tokens.access_token
        await room.clock.sleep(120)
        fresh = await room.source.refused(SMTP.id, old, room.trouble())
        await room.clock.sleep(30)
        for _ in range(2):
            with pytest.raises(TokenUnavailableError) as caught:
                await room.source.refused(SMTP.id, fresh.token, room.trouble("MB-S13"))
            assert caught.value.code == "MB-S13"
        assert await room.status() is TokenStatus.INVALID
        assert [change.kind for change in room.heard].count(ChangeKind.INVALID) == 1
        await room.clock.sleep(HOUR)
        await room.renewals.renew(SMTP.id)
        assert await room.status() is TokenStatus.RETRIEVED


async def test_a_token_renewed_a_moment_ago_gets_a_second_chance_before_it_is_invalid(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        token = (await room.get_token()).tokens.access_token
        again = await room.source.refused(SMTP.id, token, room.trouble())
        assert again.token == token
        with pytest.raises(TokenUnavailableError):
            await room.source.refused(SMTP.id, token, room.trouble())
        assert await room.status() is TokenStatus.INVALID
        assert room.authority.asked["refresh_token"] == 0


async def test_a_refusal_long_after_the_last_one_is_a_first_one_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        token = (await room.get_token()).tokens.access_token
        for count in range(1, 4):
            await room.clock.sleep(1200)
            token = (await room.source.refused(SMTP.id, token, room.trouble())).token
            assert room.authority.asked["refresh_token"] == count
        assert await room.status() is TokenStatus.RETRIEVED


async def test_condemning_is_for_the_token_that_was_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        assert (await room.source.condemned(SMTP.id, Secret("x"), room.trouble())).code == "MB-T54"
        grant = await room.get_token()
        assert (await room.source.condemned(SMTP.id, Secret("x"), room.trouble())).code == "MB-T24"
        assert await room.status() is TokenStatus.RETRIEVED
        error = await room.source.condemned(SMTP.id, grant.tokens.access_token, room.trouble("MB-T11"))
        assert error.code == "MB-T11"
        assert await room.status() is TokenStatus.INVALID


async def test_nobody_holds_what_was_read_before_a_deletion(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        _, outcome = await asyncio.gather(room.delete(), room.source.access_token(SMTP.id), return_exceptions=True)
        assert room.source.cached(SMTP.id) is None
        assert outcome is not None
