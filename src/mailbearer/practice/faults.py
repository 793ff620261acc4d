"""Faults on order, and the journal of what was asked and answered."""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

JOURNAL_MAX = 10_000  # the oldest entry goes


@dataclass(frozen=True, slots=True)
class Entry:
    """One request: where, what kind, and how it ended: ``ok``, an error word, ``fault 503``, ``dropped``.

    ``grant_type`` is empty where there is none; for the mail servers it is the SASL mechanism.
    """

    endpoint: str
    grant_type: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong at one place, ``count`` times; a negative count never ends.

    ``status`` and ``body`` replace the answer; ``drop`` closes the connection instead of answering; ``delay`` seconds
    pass before. With ``after`` the request is carried out first, so that only its answer is lost.
    """

    status: int = 0
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    drop: bool = False
    delay: float = 0.0
    after: bool = False
    count: int = 1

    @property
    def spoils(self) -> bool:
        """Does the real answer not arrive?"""
        return self.drop or bool(self.status or self.body)

    @property
    def lets_happen(self) -> bool:
        """Is the request carried out?"""
        return self.after or not self.spoils

    @property
    def name(self) -> str:
        """The word for the journal."""
        if self.drop:
            return "dropped"
        return f"fault {self.status}" if self.status else "fault"


class FaultBook:
    """The faults that wait, by place, first ordered first."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Fault]] = {}

    def order(self, place: str, fault: Fault) -> None:
        """Let ``fault`` happen at ``place``: a path such as ``/token``, or ``smtp/mail``, ``pop3/retr``."""
        self._waiting.setdefault(place, deque()).append(fault)

    def take(self, place: str) -> Fault | None:
        """Return the fault that happens now at ``place``, and count it."""
        waiting = self._waiting.get(place)
        if not waiting:
            return None
        fault = waiting.popleft()
        if fault.count != 1:
            waiting.appendleft(replace(fault, count=fault.count - 1 if fault.count > 0 else fault.count))
        return fault

    def clear(self) -> None:
        """Forget all faults that wait."""
        self._waiting.clear()


class Journal:
    """What was asked and how it ended, oldest first."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=JOURNAL_MAX)

    def note(self, endpoint: str, grant_type: str, outcome: str) -> None:
        """Add one entry."""
        self._entries.append(Entry(endpoint, grant_type, outcome))

    def entries(self) -> list[Entry]:
        """Return a copy."""
        return list(self._entries)


def as_body(body: bytes | str | Mapping[str, object]) -> bytes:
    """Return the bytes of ``body``; a mapping becomes JSON."""
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(dict(body)).encode()
