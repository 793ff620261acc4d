"""What a provider's answer means: which of the four words, which sentence, what to do next.

The table is ``data/error_rules.json`` (:mod:`mailbearer.providers.rules`). The word of the OAuth error decides the
status, AADSTS numbers only choose finer words and the action: Microsoft may change them without notice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

from mailbearer.errors import AuthorizationError, AuthorizationUnavailableError, Refusal
from mailbearer.model.grant import Flow
from mailbearer.model.provider import Provider
from mailbearer.protocol.sasl.failures import parse_failure
from mailbearer.providers.quirks import Quirk
from mailbearer.providers.rules import Rule, load_rules

Status = Literal["invalid", "not-retrieved", "unchanged", "waiting"]
Phase = Literal["device", "code", "refresh"]
Layer = Literal["smtp", "pop", "imap"]
PASSING: Final = frozenset({"transient", "throttle", "pending"})
TESTING_LIFE: Final = (timedelta(days=6.5), timedelta(days=7.5))  # of a token of a Google project in testing
ANY: Final = "*"
OF_RENEWAL: Final = frozenset({"MB-T07", "MB-T08", "MB-T09", "MB-T30", "MB-T39"})  # they speak of a token that is held
NOT_FINISHED: Final = "MB-T60"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from an answer.

    ``status`` is the token's new status, or ``unchanged``; ``fields`` fill the sentences of ``code``. ``class_`` is one
    of pending, user, account, consent, policy, config, transient, throttle, quota, message, recipient, internal,
    unknown; ``action`` a word of the table (``reauthorise``, ``retry_backoff``, ``bounce`` …). ``wait`` is how long the
    provider wants to be left alone, when that is known.
    """

    code: str
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    status: Status = "unchanged"
    class_: str = "unknown"
    action: str = ""
    wait: timedelta | None = None

    @property
    def passing(self) -> bool:
        """Does it go away by itself?"""
        return self.class_ in PASSING


def read_refusal(  # noqa: PLR0913 - all of them are what was known when the answer came
    error: AuthorizationError,
    *,
    provider: Provider,
    phase: Phase,
    token_held: bool,
    account: str,
    flow: Flow | None = None,
    age: timedelta | None = None,
) -> Verdict:
    """Return what the authorization server's refusal means.

    ``flow`` made the token, or is under way; ``age`` is how long ago the token was obtained, when it is known.
    """
    refusal = error.refusal
    rule = _token_rule(refusal, provider, phase)
    fields = _fields(error, provider, account, flow)
    if rule is None:
        passing = isinstance(error, AuthorizationUnavailableError)
        class_, action = ("transient", "retry_backoff") if passing else ("unknown", "tell_admin")
        status = _status("unchanged", "", phase=phase, token_held=token_held, passing=passing)
        return Verdict(error.code, fields, status, class_, action, _wait(refusal.retry_after))
    code = _code(rule, refusal, phase)
    if isinstance(error, AuthorizationUnavailableError) and not rule.numbers:
        code = error.code  # the protocol core knows better in what way the answer was unusable
    if code == "MB-T09" and age is not None and _looks_like_testing(provider, age):
        code = "MB-T10"
    status = _status(rule.status, rule.held, phase=phase, token_held=token_held, passing=rule.class_ in PASSING)
    wait = _wait(refusal.retry_after if refusal.retry_after is not None else rule.wait)
    return Verdict(code, {**fields, **rule.fields}, status, rule.class_, rule.action, wait)


def read_mail_refusal(
    layer: Layer, reply: str, challenge: str, *, provider: Provider, fresh: bool, account: str = ""
) -> Verdict:
    """Return what a mail server's refusal means.

    ``reply`` is its last line with the code (``535 5.7.3 …``, ``-ERR …``), ``challenge`` the JSON of the SASL failure
    or empty; ``fresh``: the token was renewed for this very attempt, so that a refusal is the token's own fault.
    """
    said = " ".join(reply.split())
    fields = {"provider": provider.name, "account": account, "reply": said, "protocol": layer.upper()}
    rule = _mail_rule(layer, said, challenge, provider)
    if rule is None:
        return Verdict("MB-P23" if layer == "pop" else "MB-S17", fields, "unchanged", "unknown", "retry_backoff")
    code = "MB-P23" if layer == "pop" and rule.code == "MB-S13" else rule.code
    status = _status_word(rule.second_time if fresh and rule.second_time else rule.status)
    wait = _named_wait(rule, said)
    minutes = {} if wait is None else {"minutes": str(round(wait.total_seconds() / 60) or 1)}
    return Verdict(code, {**fields, **minutes, **rule.fields}, status, rule.class_, rule.action, wait)


def _token_rule(refusal: Refusal, provider: Provider, phase: Phase) -> Rule | None:
    fitting = [
        rule
        for rule in load_rules()
        if rule.layer == "token"
        and rule.provider in {ANY, provider.id, provider.family}
        and rule.phase in {"", phase}
        and _answers(rule, refusal)
    ]
    return min(fitting, key=lambda rule: _rank(rule, provider), default=None)


def _answers(rule: Rule, refusal: Refusal) -> bool:
    return (
        (not rule.error or refusal.error in rule.error)
        and (not rule.numbers or not set(rule.numbers).isdisjoint(refusal.numbers))
        and (not rule.http or refusal.status in rule.http)
        and (not rule.subtype or rule.subtype == refusal.subtype)
        and (rule.says is None or rule.says.search(refusal.description) is not None)
    )


def _rank(rule: Rule, provider: Provider) -> tuple[int, int]:
    """Order of rules that all fit: the provider's own before ``*``, then the more precise, then error before HTTP."""
    whose = {provider.id: 0, provider.family: 1}.get(rule.provider, 2)
    return whose, 0 if rule.precise else 1 if rule.error else 2


def _mail_rule(layer: Layer, said: str, challenge: str, provider: Provider) -> Rule | None:
    """Find the rule: a missing permission named in the challenge, the provider's reply, the challenge, any reply."""
    word = parse_failure(challenge).status if challenge else ""
    replies = [
        rule
        for rule in load_rules()
        if rule.layer == layer
        and rule.provider in {ANY, provider.id, provider.family}
        and rule.says is not None
        and rule.says.search(said)
    ]
    told = [rule for rule in load_rules() if rule.layer == "challenge" and word and word in rule.error]
    final = [rule for rule in told if not rule.second_time]
    own = [rule for rule in replies if rule.provider != ANY]
    return next(iter([*final, *own, *told, *replies]), None)


def _code(rule: Rule, refusal: Refusal, phase: Phase) -> str:
    words = (*map(str, refusal.numbers), refusal.error)
    code = next((rule.codes[word] for word in words if word in rule.codes), rule.code)
    if phase == "device" and rule.code_on_device:
        return rule.code_on_device
    return NOT_FINISHED if phase != "refresh" and code in OF_RENEWAL else code


def _status(status: str, held: str, *, phase: Phase, token_held: bool, passing: bool) -> Status:
    """Return the new status: only a renewal makes a token Invalid; a failed sign-in leaves the held one alone."""
    if phase == "refresh":
        kept = held or ("unchanged" if status in {"not-retrieved", "waiting"} else status)
        return _status_word(kept)
    if passing:
        return "waiting"
    return "unchanged" if token_held else "not-retrieved"


def _status_word(word: str) -> Status:
    match word:
        case "invalid" | "not-retrieved" | "unchanged" | "waiting":
            return word
        case _:  # pragma: no cover - the table is checked when it is read
            return "unchanged"


def _fields(error: AuthorizationError, provider: Provider, account: str, flow: Flow | None) -> dict[str, str]:
    refusal = error.refusal
    number = f"AADSTS{refusal.numbers[0]}" if refusal.numbers else ""
    word = number or refusal.error or (f"HTTP {refusal.status}" if refusal.status else "")
    days = "" if provider.idle_lifetime_days is None else str(provider.idle_lifetime_days)
    told = {name: str(value) for name, value in error.fields.items()}
    problem = refusal.description or word
    known = {
        "account": account,
        "word": word,
        "text": refusal.description,
        "problem": problem,
        "days": days,
        "flow": flow or "",
    }
    return {"provider": provider.name, **{name: value for name, value in known.items() if value}, **told}


def _looks_like_testing(provider: Provider, age: timedelta) -> bool:
    return Quirk.TESTING_PROJECT_SEVEN_DAYS in provider.quirks and TESTING_LIFE[0] <= age <= TESTING_LIFE[1]


def _named_wait(rule: Rule, said: str) -> timedelta | None:
    found = rule.says.search(said) if rule.wait_in_ms and rule.says is not None else None
    if found is not None and found[1]:
        return timedelta(milliseconds=min(int(found[1][:9]), 86_400_000))
    return _wait(rule.wait)


def _wait(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
