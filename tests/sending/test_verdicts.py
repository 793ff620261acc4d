"""The table of what becomes of a message."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import (
    AuthorizationUnavailableError,
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    ForeignServerError,
    InvalidInputError,
    LocalProtocolError,
    MailbearerError,
    NotFoundError,
    RemoteProtocolError,
    ServerRefusedError,
    SignInRefusedError,
    StoreError,
    TokenUnavailableError,
    VaultError,
)
from mailbearer.model.message import MessageState, QueuedMessage, RecipientOutcome, RecipientState
from mailbearer.providers.catalogue import load_catalogue
from mailbearer.sending.verdicts import Turn, after_delivery, after_failure, fate_of, fate_of_line, waiting_recipients
from tests.store.samples import NOW, message

MICROSOFT, GOOGLE = (load_catalogue().get(name) for name in ("microsoft365", "google"))
OLD = NOW + timedelta(days=6)
STATES = st.sampled_from(RecipientState)
REPLIES = st.sampled_from(["250 2.0.0 OK", "451 4.3.0 Later", "550 5.1.1 Nobody", "550-5.4.5 Daily limit", ""])


@pytest.mark.parametrize(
    ("error", "turn", "turn_of_line"),
    [
        (TokenUnavailableError("MB-T54"), Turn.HOLD, Turn.HOLD),
        (VaultError("MB-T26"), Turn.HOLD, Turn.HOLD),
        (ForeignServerError("MB-T40"), Turn.HOLD, Turn.HOLD),
        (SignInRefusedError(reply="535 5.7.8 No"), Turn.HOLD, Turn.HOLD),
        (SignInRefusedError(reply=""), Turn.HOLD, Turn.HOLD),
        (SignInRefusedError(reply="454 4.7.0 Later"), Turn.RETRY, Turn.RETRY),
        (ServerRefusedError(reply="451 4.3.0 Later"), Turn.RETRY, Turn.RETRY),
        (ServerRefusedError("MB-S34", reply="554 5.6.0 Bad"), Turn.FAIL, Turn.RETRY),
        (ServerRefusedError("MB-S19"), Turn.FAIL, Turn.RETRY),
        (ServerRefusedError("MB-S36"), Turn.FAIL, Turn.RETRY),
        (ServerRefusedError("MB-S11"), Turn.RETRY, Turn.RETRY),
        (ConnectError(), Turn.RETRY, Turn.RETRY),
        (ConnectionLostError("MB-S35"), Turn.RETRY, Turn.RETRY),
        (DeadlineError(), Turn.RETRY, Turn.RETRY),
        (RemoteProtocolError(), Turn.RETRY, Turn.RETRY),
        (StoreError("MB-D05"), Turn.RETRY, Turn.RETRY),
        (AuthorizationUnavailableError(), Turn.RETRY, Turn.RETRY),
        (InvalidInputError("MB-W05"), Turn.FAIL, Turn.HOLD),
        (NotFoundError(), Turn.FAIL, Turn.HOLD),
        (LocalProtocolError(), Turn.FAIL, Turn.HOLD),
    ],
)
def test_every_failure_has_its_turn(error: MailbearerError, turn: Turn, turn_of_line: Turn) -> None:
    assert fate_of(error, None).turn is turn
    assert fate_of_line(error, None).turn is turn_of_line


@pytest.mark.parametrize(
    ("reply", "turn", "code"),
    [
        ("554 5.2.0 SubmissionQuotaExceededException", Turn.HOLD, "MB-S20"),
        (
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant",
            Turn.HOLD,
            "MB-S12",
        ),
        ("554 5.2.252 SendAsDenied", Turn.FAIL, "MB-S15"),
        ("432 4.3.2 Concurrent connections limit exceeded", Turn.RETRY, "MB-S16"),
        ("550 5.6.0 CAT.InvalidContent", Turn.FAIL, "MB-S34"),
    ],
)
def test_reply_is_read_by_the_table_of_the_provider(reply: str, turn: Turn, code: str) -> None:
    fate = fate_of(ServerRefusedError("MB-S34", reply=reply), MICROSOFT)
    assert (fate.turn, fate.code, fate.reply) == (turn, code, reply)


def test_throttled_mail_waits_as_long_as_the_provider_wants() -> None:
    fate = fate_of(ServerRefusedError(reply="454-4.7.0 Too many login attempts"), GOOGLE)
    after = after_failure(message(), fate, now=NOW, draw=0.5)
    assert after.next_try is not None
    assert after.next_try - NOW >= timedelta(minutes=15)


@given(age=st.timedeltas(timedelta(0), timedelta(days=400)), draw=st.floats(0, 1))
def test_held_mail_is_never_given_up(age: timedelta, draw: float) -> None:
    fate = fate_of(TokenUnavailableError("MB-T54"), None)
    after = after_failure(message(), fate, now=NOW + age, draw=draw)
    assert after.state is MessageState.HELD
    assert after.next_try is not None
    assert after.next_try > NOW + age


def test_mail_is_given_up_at_the_end_of_its_life_and_says_why() -> None:
    after = after_failure(message(), fate_of(ConnectError("MB-S03"), None), now=OLD, draw=0.5)
    assert (after.state, after.code, after.next_try) == (MessageState.FAILED, "MB-S22", None)
    assert {each.state for each in after.recipients} == {RecipientState.REFUSED}


def outcomes(*said: tuple[RecipientState, str]) -> tuple[QueuedMessage, tuple[RecipientOutcome, ...]]:
    told = tuple(RecipientOutcome(f"{number}@example.com", *each) for number, each in enumerate(said))
    return replace(message(), recipients=tuple(replace(each, state=RecipientState.WAITING) for each in told)), told


def test_daily_limit_told_for_a_recipient_holds_the_mail_for_him() -> None:
    sent, told = outcomes((RecipientState.ACCEPTED, "250 OK"), (RecipientState.REFUSED, "550-5.4.5 Daily limit"))
    after = after_delivery(sent, told, GOOGLE, now=NOW, draw=0.5)
    assert (after.state, after.code) == (MessageState.HELD, "MB-S20")
    assert waiting_recipients(after) == ("1@example.com",)


@given(said=st.lists(st.tuples(STATES, REPLIES), min_size=1, max_size=6), late=st.booleans())
def test_nobody_is_forgotten_and_nobody_who_has_it_gets_it_again(
    said: list[tuple[RecipientState, str]], late: bool
) -> None:
    sent, told = outcomes(*said)
    after = after_delivery(sent, told, GOOGLE, now=OLD if late else NOW, draw=0.5)
    assert [each.address for each in after.recipients] == [each.address for each in sent.recipients]
    for before, each in zip(told, after.recipients, strict=True):
        assert (before.state is RecipientState.ACCEPTED) == (each.state is RecipientState.ACCEPTED)
    living = after.state in {MessageState.RETRYING, MessageState.HELD}
    assert living == bool(waiting_recipients(after))
    assert living == (after.next_try is not None)
    everybody = all(state is RecipientState.ACCEPTED for state, _ in said)
    assert (after.state is MessageState.ACCEPTED) == everybody
