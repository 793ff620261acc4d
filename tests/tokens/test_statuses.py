"""The four words and their transitions (SPEC 4.1), walked at random against a model of a dozen lines."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from mailbearer.errors import ConnectError, MailbearerError, TokenUnavailableError
from mailbearer.model.grant import Flow
from mailbearer.model.token import TokenStatus
from tests.tokens.authority import ACCOUNT, FakeAuthority
from tests.tokens.room import SMTP, EagerClock, Room, opened

T = TypeVar("T")


class Walk(RuleBasedStateMachine):
    """What an administrator, a provider, a mail server and time may do in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="mailbearer-walk-"))
        self.clock = EagerClock()
        self.authority = FakeAuthority(self.clock)
        self.stack = AsyncExitStack()
        self.room: Room = self.do(self.stack.enter_async_context(self.open()))
        self.held = False
        self.invalid = False
        self.waiting = False
        self.deleted_tokens: set[str] = set()

    def open(self) -> AbstractAsyncContextManager[Room]:
        return opened(self.folder, self.clock, authority=self.authority)

    def do(self, work: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(work)

    def attempt(self, work: Coroutine[object, object, object]) -> str:
        """Return the code of the error, empty when there was none."""
        try:
            self.do(work)
        except MailbearerError as error:
            return error.code
        return ""

    def teardown(self) -> None:
        self.do(self.stack.aclose())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder)

    @rule()
    def begin(self) -> None:
        code = self.attempt(self.room.sign_ins.begin(SMTP, flow=Flow.DEVICE, by="Ada"))
        assert code == ("MB-T29" if self.waiting else "")
        self.waiting = True

    @precondition(lambda self: self.waiting)
    @rule(end=st.sampled_from(["approve", "decline", "expire", "other account", "cancel"]))
    def end_sign_in(self, end: str) -> None:
        self.authority.approved = end in {"approve", "other account"}
        self.authority.declined = end == "decline"
        self.authority.account = "boss@example.com" if end == "other account" else ACCOUNT
        if end == "cancel":
            assert self.do(self.room.sign_ins.cancel(SMTP.id))
        else:
            code = self.attempt(self.room.sign_ins.poll_until_done(SMTP.id))
            told = {"approve": "", "decline": "MB-T03", "expire": "MB-T02", "other account": "MB-T06"}
            # an account that is disabled cannot sign in either
            assert bool(code) if self.authority.disabled else code == told[end]
            if not code:
                self.held, self.invalid = True, False
        self.waiting = False

    @rule()
    def delete(self) -> None:
        if self.held:
            self.deleted_tokens.add(self.do(self.room.held()).tokens.access_token.reveal())
        self.do(self.room.delete())
        self.held = self.invalid = self.waiting = False

    @rule(minutes=st.integers(1, 90))
    def time_passes(self, minutes: int) -> None:
        before = self.do(self.room.facts()).sign_in
        self.do(self.clock.sleep(minutes * 60))
        if before is not None and before.expires_at <= self.clock.now():
            self.waiting = False
            self.do(self.room.sign_ins.cancel(SMTP.id))

    @rule(disabled=st.booleans())
    def account_changes(self, disabled: bool) -> None:
        self.authority.disabled = disabled

    @rule()
    def outage(self) -> None:
        self.authority.faults = [ConnectError("MB-T01", host="login.example.com")]
        self.attempt(self.room.renewals.renew(SMTP.id, force=True))
        self.authority.faults.clear()

    @rule()
    def renew(self) -> None:
        asked = self.authority.asked["refresh_token"]
        code = self.attempt(self.room.renewals.renew(SMTP.id, force=True))
        if self.authority.asked["refresh_token"] > asked:
            self.invalid = self.authority.disabled
        assert bool(code) or self.held

    @rule()
    def use(self) -> None:
        asked = self.authority.asked["refresh_token"]
        try:
            access = self.do(self.room.source.access_token(SMTP.id))
        except TokenUnavailableError:
            access = None
        if self.authority.asked["refresh_token"] > asked:
            self.invalid = self.authority.disabled
        if access is not None:
            assert self.held
            assert access.expires_at > self.clock.now()
            assert access.token.reveal() not in self.deleted_tokens

    @precondition(lambda self: self.held and not self.invalid)
    @rule()
    def mail_server_refuses_for_good(self) -> None:
        token = self.do(self.room.held()).tokens.access_token
        self.do(self.room.source.condemned(SMTP.id, token, self.room.trouble()))
        self.invalid = True

    @rule()
    def restart(self) -> None:
        self.do(self.stack.aclose())
        self.stack = AsyncExitStack()
        self.room = self.do(self.stack.enter_async_context(self.open()))

    @invariant()
    def the_word_is_right(self) -> None:
        facts = self.do(self.room.facts())
        if self.waiting:
            expected = TokenStatus.WAITING
        elif not self.held:
            expected = TokenStatus.NOT_RETRIEVED
        else:
            expected = TokenStatus.INVALID if self.invalid else TokenStatus.RETRIEVED
        assert facts.status is expected
        assert facts.held is self.held
        assert (facts.reason is not None) is self.invalid

    @invariant()
    def no_refresh_token_is_shown_twice_and_none_is_lost(self) -> None:
        assert self.authority.reused == 0
        if self.held:
            token = self.do(self.room.held()).tokens.refresh_token
            assert token is not None
            assert token.reveal() in self.authority.alive


@pytest.mark.slow
def test_the_four_words_follow_the_table_whatever_happens() -> None:
    run_state_machine_as_test(Walk, settings=settings(max_examples=20, stateful_step_count=25, deadline=None))


async def test_waiting_with_a_held_token_goes_back_to_what_was_before(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.sign_ins.begin(SMTP, flow=Flow.CODE, by="Ada")
        facts = await room.facts()
        assert facts.status is TokenStatus.WAITING
        assert facts.held
        assert facts.sign_in is not None
        assert facts.sign_in.authorization_url
        await room.sign_ins.cancel(SMTP.id)
        assert await room.status() is TokenStatus.RETRIEVED


async def test_the_facts_hold_everything_but_secrets(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        grant = await room.get_token()
        facts = await room.facts()
        assert facts.account == ACCOUNT
        assert facts.account_confirmed
        assert facts.scopes == ("mail.send", "offline_access", "openid", "email")
        assert facts.idle_dies_at == grant.refreshed_at + timedelta(days=90)
        assert facts.access_expires_at == grant.tokens.expires_at
        assert facts.next_renewal is not None
        assert facts.flow is Flow.CODE
        assert grant.tokens.access_token.reveal() not in repr(facts)


async def test_a_provider_without_a_limit_of_idleness_names_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        room.of_provider(idle_lifetime_days=None)
        assert (await room.facts()).idle_dies_at is None


async def test_a_service_without_anything_is_not_retrieved(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        facts = await room.facts()
        assert facts.status is TokenStatus.NOT_RETRIEVED
        assert not facts.held
