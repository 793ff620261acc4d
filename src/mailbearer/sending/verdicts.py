"""What becomes of a message after an attempt: a table of failures and nothing else (as Postfix's smtp_trouble.c)."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from mailbearer.errors import (
    ForeignServerError,
    MailbearerError,
    ServerRefusedError,
    SignInRefusedError,
    TokenUnavailableError,
    VaultError,
)
from mailbearer.model.message import MessageState, QueuedMessage, RecipientOutcome, RecipientState
from mailbearer.model.provider import Provider
from mailbearer.providers.diagnosis import Verdict, read_mail_refusal
from mailbearer.sending import retry

POLICY_PAUSE = timedelta(hours=1)  # until a switch at the provider or a setting here is looked at again
QUOTA_PAUSE = timedelta(hours=1)  # a daily limit frees bit by bit, so it is tried every hour
PERMANENT_CODES = frozenset({"MB-S19", "MB-S34", "MB-S36", "MB-W05"})
_CURED_ELSEWHERE = frozenset({"account", "policy", "config"})  # mail waits until somebody has done it


class Turn(Enum):
    """The three things that can become of a message that was not accepted."""

    HOLD = auto()  # never given up
    RETRY = auto()  # until its life ends
    FAIL = auto()


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a message, why, the other side's words, and how long to wait at least."""

    turn: Turn
    code: str
    reply: str = ""
    pause: timedelta = timedelta()


def fate_of(error: MailbearerError, provider: Provider | None) -> Fate:
    """Return what becomes of the messages whose attempt ended with ``error``."""
    match error:
        case TokenUnavailableError() | VaultError():
            return Fate(Turn.HOLD, error.code, error.detail, retry.HOLD_PAUSE)
        case ForeignServerError():
            return Fate(Turn.HOLD, error.code, error.detail, POLICY_PAUSE)
        case SignInRefusedError(reply=reply) if not reply.startswith("4"):
            return Fate(Turn.HOLD, error.code, reply, POLICY_PAUSE)
        case SignInRefusedError(reply=reply) | ServerRefusedError(reply=reply) if reply:
            return _fate_of_reply(reply, error.code, provider)
        case _:
            hopeless = error.permanent or error.code in PERMANENT_CODES
            return Fate(Turn.FAIL if hopeless else Turn.RETRY, error.code, error.detail)


def fate_of_line(error: MailbearerError, provider: Provider | None) -> Fate:
    """Return what becomes of messages when no line can be had: none is given up, no message is to blame for it."""
    fate = fate_of(error, provider)
    if fate.turn is not Turn.FAIL:
        return fate
    if isinstance(error, ServerRefusedError):
        return replace(fate, turn=Turn.RETRY)
    return replace(fate, turn=Turn.HOLD, pause=POLICY_PAUSE)


def after_failure(message: QueuedMessage, fate: Fate, *, now: datetime, draw: float) -> QueuedMessage:
    """Return ``message`` as it is after an attempt that ended with ``fate``."""
    attempts = message.attempts + 1
    told = replace(message, attempts=attempts, code=fate.code, reply=fate.reply)
    if fate.turn is Turn.HOLD:
        return replace(told, state=MessageState.HELD, next_try=now + fate.pause)
    when = retry.next_try(attempts, created_at=message.created_at, now=now, draw=draw)
    if fate.turn is Turn.RETRY and when is not None:
        return replace(told, state=MessageState.RETRYING, next_try=max(when, now + fate.pause))
    refused = tuple(
        replace(each, state=RecipientState.REFUSED, reply=fate.reply) if each.state is RecipientState.WAITING else each
        for each in message.recipients
    )
    code = fate.code if fate.turn is Turn.FAIL else "MB-S22"
    return replace(told, state=MessageState.FAILED, recipients=refused, code=code, next_try=None)


def after_delivery(
    message: QueuedMessage,
    outcomes: tuple[RecipientOutcome, ...],
    provider: Provider | None,
    *,
    now: datetime,
    draw: float,
) -> QueuedMessage:
    """Return ``message`` after the server answered for each recipient that was still waiting."""
    if len(outcomes) == len(message.recipients) and all(each.state is RecipientState.ACCEPTED for each in outcomes):
        return _accepted(message, outcomes)
    answered = {outcome.address: outcome for outcome in outcomes}
    limit: Verdict | None = None
    recipients: list[RecipientOutcome] = []
    for each in message.recipients:
        outcome = answered.get(each.address, each)
        if each.address in answered and (verdict := _limit_used_up(outcome, provider)) is not None:
            limit, outcome = verdict, replace(outcome, state=RecipientState.WAITING)
        recipients.append(outcome)
    message = replace(message, recipients=tuple(recipients))
    for outcome in recipients:
        if outcome.state is RecipientState.WAITING:
            hold = Fate(Turn.HOLD, limit.code, outcome.reply, QUOTA_PAUSE) if limit is not None else None
            fate = hold or _fate_of_reply(outcome.reply, "MB-S17", provider)
            return after_failure(message, fate, now=now, draw=draw)
    for outcome in recipients:
        if outcome.state is RecipientState.REFUSED:
            refusal = Fate(Turn.FAIL, _code_of_refusal(outcome.reply, provider), outcome.reply)
            return after_failure(message, refusal, now=now, draw=draw)
    return _accepted(message, message.recipients)


def _accepted(message: QueuedMessage, recipients: tuple[RecipientOutcome, ...]) -> QueuedMessage:
    return replace(
        message,
        state=MessageState.ACCEPTED,
        recipients=recipients,
        attempts=message.attempts + 1,
        code="",
        reply=recipients[-1].reply,
        next_try=None,
    )


def waiting_recipients(message: QueuedMessage) -> tuple[str, ...]:
    """Return the recipients that have not been answered for yet."""
    return tuple(each.address for each in message.recipients if each.state is RecipientState.WAITING)


def _code_of_refusal(reply: str, provider: Provider | None) -> str:
    """Return why a recipient was refused: not always because there is no such mailbox (RFC 3463 X.1.1)."""
    if provider is None:
        return "MB-S18" if " 5.1." in reply[:8] else "MB-S34"
    return read_mail_refusal("smtp", reply, "", provider=provider, fresh=False).code


def _limit_used_up(outcome: RecipientOutcome, provider: Provider | None) -> Verdict | None:
    """Return the verdict when a refusal only means that today's limit is used up."""
    if provider is None or outcome.state is not RecipientState.REFUSED:
        return None
    verdict = read_mail_refusal("smtp", outcome.reply, "", provider=provider, fresh=False)
    return verdict if verdict.class_ == "quota" else None


def _fate_of_reply(reply: str, code: str, provider: Provider | None) -> Fate:
    """Return the fate by the table of the provider, or by the first digit where there is no provider."""
    permanent = reply.startswith("5")
    if provider is None:
        return Fate(Turn.FAIL if permanent else Turn.RETRY, code, reply)
    verdict = read_mail_refusal("smtp", reply, "", provider=provider, fresh=False)
    if verdict.class_ == "quota":
        return Fate(Turn.HOLD, verdict.code, reply, QUOTA_PAUSE)
    if verdict.class_ in _CURED_ELSEWHERE and verdict.action != "fix_sender":
        return Fate(Turn.HOLD, verdict.code, reply, POLICY_PAUSE)
    return Fate(Turn.FAIL if permanent else Turn.RETRY, verdict.code, reply, verdict.wait or timedelta())
