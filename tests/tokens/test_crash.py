"""Processes that are killed, stores that are full: whatever happens, the newest refresh token is found again."""

import asyncio
import json
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailbearer.clock import SystemClock
from mailbearer.errors import DiskFullError, TokenUnavailableError
from mailbearer.model.grant import Flow
from mailbearer.model.secret import Secret
from mailbearer.model.service import SmtpSettings
from mailbearer.model.token import TokenStatus
from mailbearer.net.http import HttpClient
from mailbearer.practice.world import PracticeWorld
from mailbearer.store.folder import DataFolder
from mailbearer.tokens.book import GrantBook
from tests.tokens.authority import FakeAuthority, yes
from tests.tokens.room import SMTP, EagerClock, Room, opened

ACCOUNT = "scanner@practice.example"
SERVICE = replace(SMTP, settings=SmtpSettings(provider="practice", account=ACCOUNT))


@asynccontextmanager
async def practised(folder: Path, world: PracticeWorld) -> AsyncIterator[Room]:
    http = HttpClient()
    async with opened(folder, SystemClock(), http) as room:
        room.party.provider, room.party.registration = world.provider, replace(world.registration, ca_file="")
        yield room
    await http.aclose()


async def overdue_token(room: Room, world: PracticeWorld) -> None:
    """Get a token the long way, and let it be an hour older."""
    pending = await room.sign_ins.begin(SERVICE, flow=Flow.CODE, by="Ada")
    url = world.authorize(pending.sign_in.authorization_url, ACCOUNT)  # type: ignore[union-attr]
    grant = await room.sign_ins.finish_redirect(url)
    hour = timedelta(hours=1)
    old = replace(
        grant,
        version=grant.version + 1,
        refreshed_at=grant.refreshed_at - hour,
        tokens=replace(grant.tokens, expires_at=grant.tokens.expires_at - hour),
    )
    assert await GrantBook(room.store, room.vault).replace(old)


async def child(folder: Path, world: PracticeWorld) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.tokens.renew_once",
        str(folder),
        json.dumps(asdict(world.ports)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"open\n"
    return process


def renewals(world: PracticeWorld) -> int:
    return sum(entry.grant_type == "refresh_token" and entry.outcome == "ok" for entry in world.journal)


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not happened():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.005)


@pytest.mark.slow
async def test_two_processes_renew_once(tmp_path: Path) -> None:
    async with PracticeWorld(tmp_path / "world") as world:
        async with practised(tmp_path / "data", world) as room:
            await overdue_token(room, world)
        world.fault("/token", delay=0.5)
        children = await asyncio.gather(*(child(tmp_path / "data", world) for _ in range(2)))
        answers = await asyncio.gather(*(process.communicate(b"go\n") for process in children))
        assert [answer for answer, _ in answers] == [b"3\n", b"3\n"]
        assert renewals(world) == 1


@pytest.mark.slow
async def test_a_kill_between_the_answer_and_the_commit_loses_no_token(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "data")
    async with PracticeWorld(tmp_path / "world") as world:
        async with practised(data.path, world) as room:
            await overdue_token(room, world)
        world.fault("/token", delay=0.5)
        process = await child(data.path, world)
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        foreign = sqlite3.connect(data.database, isolation_level=None)
        await until(lambda: foreign.execute("SELECT lease_owner FROM grants").fetchone() != ("",))
        foreign.execute("BEGIN IMMEDIATE")  # from here on nobody can commit
        await until(lambda: renewals(world) == 1)
        journal = next(data.journal.iterdir())
        await until(lambda: any(journal.read_bytes()[300:1000]))  # what is kept before the request is shorter
        process.send_signal(signal.SIGKILL)
        await process.wait()
        foreign.execute("ROLLBACK")
        foreign.close()
        async with practised(data.path, world) as room:
            assert (await room.held()).version == 3
            held = await room.held()
            old = replace(
                held, version=4, refreshed_at=held.refreshed_at - timedelta(hours=1), tokens=replace(held.tokens)
            )
            assert await GrantBook(room.store, room.vault).replace(old)
            assert (await room.renewals.renew(SMTP.id, force=True)).version == 5, "a used token would end the grant"
            assert await room.status() is TokenStatus.RETRIEVED


@pytest.mark.slow
async def test_a_kill_before_the_answer_is_remembered_as_a_lost_answer(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "data")
    async with PracticeWorld(tmp_path / "world") as world:
        async with practised(data.path, world) as room:
            await overdue_token(room, world)
        world.fault("/token", delay=30, after=True)
        process = await child(data.path, world)
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        await until(lambda: data.journal.exists() and any(any(f.read_bytes()[:300]) for f in data.journal.iterdir()))
        await asyncio.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        async with practised(data.path, world) as room:
            trouble = (await room.facts()).trouble
            assert trouble is not None
            assert trouble.code == "MB-T01"
            assert await room.status() is TokenStatus.RETRIEVED


class _Full:
    """Grants of a store without room."""

    def __init__(self, real: object) -> None:
        self.real = real
        self.full = False

    def __getattr__(self, name: str) -> object:
        if name == "replace" and self.full:
            return self._refuse
        return getattr(self.real, name)

    async def _refuse(self, *_: object, **__: object) -> bool:
        raise DiskFullError("MB-S25")


async def test_a_full_disk_after_the_answer_loses_no_token(tmp_path: Path) -> None:
    clock = EagerClock()
    authority = FakeAuthority(clock)
    async with opened(tmp_path, clock, authority=authority) as room:
        await room.get_token()
        grants = _Full(room.store.grants)
        room.store.grants = grants  # type: ignore[assignment]
        await clock.advance(3600)
        grants.full = True
        renewed = await room.renewals.renew(SMTP.id)
        assert renewed.version == 2
        assert await room.renewals.renew(SMTP.id) == renewed, "it may be used: the journal has it"
        assert (await room.held()).version == 1
        grants.full = False
        assert await room.renewals.renew(SMTP.id) == renewed
        assert await room.held() == renewed
        assert authority.asked["refresh_token"] == 1


async def test_a_full_disk_and_then_the_end_of_the_process_lose_no_token(tmp_path: Path) -> None:
    clock = EagerClock()
    authority = FakeAuthority(clock)
    async with opened(tmp_path, clock, authority=authority) as room:
        await room.get_token()
        grants = _Full(room.store.grants)
        room.store.grants = grants  # type: ignore[assignment]
        await clock.advance(3600)
        grants.full = True
        renewed = await room.renewals.renew(SMTP.id)
    async with opened(tmp_path, clock, authority=authority) as room:
        assert (await room.held()).tokens == renewed.tokens
        await clock.advance(3600)
        assert (await room.renewals.renew(SMTP.id)).version == 3
        assert authority.reused == 0


async def test_a_deleted_token_does_not_come_back_from_the_journal(tmp_path: Path) -> None:
    clock = EagerClock()
    authority = FakeAuthority(clock)
    async with opened(tmp_path, clock, authority=authority) as room:
        await room.get_token()
        grants = _Full(room.store.grants)
        room.store.grants = grants  # type: ignore[assignment]
        await clock.advance(3600)
        grants.full = True
        await room.renewals.renew(SMTP.id)
        await room.delete()
    async with opened(tmp_path, clock, authority=authority) as room:
        assert await room.status() is TokenStatus.NOT_RETRIEVED
        with pytest.raises(TokenUnavailableError):
            await room.source.access_token(SMTP.id)


async def test_a_journal_of_another_key_is_left_out(tmp_path: Path) -> None:
    clock = EagerClock()
    async with opened(tmp_path, clock) as room:
        await room.get_token()
        slot = await room.store.journal.reserve(SMTP.id, 1)
        room.store.journal.keep(slot, b"nobody opens this")
    async with opened(tmp_path, clock) as room:
        assert await room.status() is TokenStatus.RETRIEVED


async def test_an_answer_that_is_none_is_left_out_and_remembered_as_lost(tmp_path: Path) -> None:
    clock = EagerClock()
    async with opened(tmp_path, clock) as room:
        await room.get_token()
        slot = await room.store.journal.reserve(SMTP.id, 1)
        text = Secret(f"{clock.now().isoformat()}\n<html>")
        room.store.journal.keep(slot, room.vault.seal(text, place="journal/smtp/1"))
    async with opened(tmp_path, clock) as room:
        trouble = (await room.held()).trouble
        assert trouble is not None
        assert trouble.code == "MB-T44"


async def test_an_answer_larger_than_a_slot_is_stored_all_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(3600)
        room.authority.faults = [lambda _: yes(access_token="a", refresh_token="r", padding="x" * 300_000)]
        assert (await room.renewals.renew(SMTP.id)).version == 2
        assert await room.store.journal.recover() == []
