"""The metrics, for Prometheus, on a registry of our own. Fed by functions; who serves them is not known here."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest

_without_created: Callable[[], None] = disable_created_metrics  # when each began is no news, and doubles the page
_without_created()
REGISTRY: Final = CollectorRegistry(auto_describe=False)
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_MESSAGES: Final = Counter(
    "mailbearer_messages",
    "What happened to messages, by the verb of the mail log.",
    ["verb"],
    registry=REGISTRY,
)
_VERBS: Final[dict[str, Counter]] = {}  # looked up once: this is done for each message
_QUEUE: Final = Gauge(
    "mailbearer_queue_messages",
    "Messages in the queue and its history, by state.",
    ["state"],
    registry=REGISTRY,
)
_TOKENS: Final = Gauge(
    "mailbearer_tokens",
    "Services that sign in with OAuth 2.0, by the status of their token.",
    ["status"],
    registry=REGISTRY,
)
_RENEWALS: Final = Counter(
    "mailbearer_renewals",
    "Renewals of access tokens, by outcome: renewed, invalid or troubled.",
    ["outcome"],
    registry=REGISTRY,
)
_POLLS: Final = Counter(
    "mailbearer_polls",
    "Looks into mailboxes, by outcome: ok, or the code of the error.",
    ["outcome"],
    registry=REGISTRY,
)
_RECEIVED: Final = Counter(
    "mailbearer_received_items",
    "Messages that were fetched and handed over to every destination.",
    registry=REGISTRY,
)
_OLDEST: Final = Gauge(
    "mailbearer_queue_oldest_seconds",
    "Age of the message that waits longest, 0 when none waits.",
    registry=REGISTRY,
)
_CONNECTIONS: Final = Gauge(
    "mailbearer_listener_connections",
    "Devices that are connected now, by listener.",
    ["listener"],
    registry=REGISTRY,
)
_ACCEPTED: Final = Counter(
    "mailbearer_listener_messages",
    "Messages that were accepted from devices, by listener.",
    ["listener"],
    registry=REGISTRY,
)
_REFUSALS: Final = Counter(
    "mailbearer_refusals",
    "What devices were refused, or had to be repaired, by the code of the reason.",
    ["code"],
    registry=REGISTRY,
)


def begin_messages(verbs: Iterable[str]) -> None:
    """Let these counters be there from the start: a rate is known of what was 0 before."""
    for verb in verbs:
        _VERBS.setdefault(verb, _MESSAGES.labels(verb))


def count_message(verb: str) -> None:
    """Count something that happened to a message; called by the mail log."""
    counter = _VERBS.get(verb)
    if counter is None:
        counter = _VERBS[verb] = _MESSAGES.labels(verb)
    counter.inc()


def set_queue(by_state: Mapping[str, int]) -> None:
    """Set how many messages are in each state; a state that is left out has none."""
    _set(_QUEUE, by_state)


def set_oldest(seconds: float) -> None:
    """Set how old the message is that waits longest."""
    _OLDEST.set(seconds)


def set_connections(by_listener: Mapping[str, int]) -> None:
    """Set how many devices are connected to each listener."""
    _set(_CONNECTIONS, by_listener)


def accepted_at(listener: str) -> Callable[[], None]:
    """Return what counts a message that came in by ``listener``."""
    return _ACCEPTED.labels(listener).inc


def count_refusal(code: str) -> None:
    """Count something that a device was refused."""
    _REFUSALS.labels(code).inc()


def set_tokens(by_status: Mapping[str, int]) -> None:
    """Set how many services have each token status; one that is left out has none."""
    _set(_TOKENS, by_status)


def count_renewal(outcome: str) -> None:
    """Count a renewal: ``renewed``, ``invalid`` or ``troubled``."""
    _RENEWALS.labels(outcome).inc()


def count_poll(outcome: str, *, received: int = 0) -> None:
    """Count a look into a mailbox: ``ok`` or the code of an error, and how many messages it handed over."""
    _POLLS.labels(outcome).inc()
    _RECEIVED.inc(received)


def render() -> bytes:
    """Return everything in the text format of Prometheus."""
    return generate_latest(REGISTRY)


def _set(gauge: Gauge, values: Mapping[str, int]) -> None:
    gauge.clear()
    for name, value in values.items():
        gauge.labels(name).set(value)
