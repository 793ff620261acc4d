"""The table of what providers answer and what it means: ``data/error_rules.json`` as values.

A rule names the layer it is for, the provider (an id, a family, or ``*``), what must be in the answer, and what
follows. ``certainty`` tells how it is known: D documented, D2 documented elsewhere, C code of others, I issue with
a log, R run here, M from memory.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from mailbearer.providers.reading import Record, mistake, parse

LAYERS = frozenset({"token", "smtp", "pop", "imap", "graph", "challenge"})
STATUSES = frozenset({"invalid", "not-retrieved", "unchanged", "waiting"})
PHASES = frozenset({"", "device", "code", "refresh"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. Empty conditions hold for every answer; ``says`` is searched in the provider's own words."""

    layer: str
    provider: str
    phase: str
    error: tuple[str, ...]
    numbers: tuple[int, ...]
    http: tuple[int, ...]
    says: re.Pattern[str] | None
    subtype: str
    status: str
    second_time: str  # the status when a freshly renewed token gets the same answer
    held: str  # the status when a token was held before
    class_: str
    action: str
    code: str
    codes: Mapping[str, str]  # another code for single numbers or error words of the row
    code_on_device: str  # another code while a sign-in with a code is under way
    fields: Mapping[str, str]
    wait: float | None  # seconds
    wait_in_ms: bool  # the first group of ``says`` is the time to wait, in milliseconds
    example: str
    certainty: str

    @property
    def precise(self) -> bool:
        """Does it look at more than the error word and the HTTP status?"""
        return bool(self.numbers or self.says or self.subtype)


@cache
def load_rules() -> tuple[Rule, ...]:
    """Read the product's own table, once.

    Raises:
        InvalidInputError: MB-W05 with row and field.
    """
    text = resources.files("mailbearer.providers").joinpath("data", "error_rules.json").read_text("utf-8")
    return read_rules(text)


def read_rules(text: str) -> tuple[Rule, ...]:
    """Return the rules in the JSON ``text``, a list of objects.

    Raises:
        InvalidInputError: MB-W05 with row and field.
    """
    rows = Record({"rules": parse(text, "error rules")}, "error rules").items("rules")
    return tuple(_rule(Record(row, f"error rule {number}")) for number, row in enumerate(rows, 1))


def _rule(row: Record) -> Rule:
    rule = Rule(
        layer=_one_of(row, "layer", LAYERS),
        provider=row.text("provider"),
        phase=_one_of(row, "phase", PHASES),
        error=row.texts("error") if row.has("error") else (),
        numbers=row.numbers("numbers") if row.has("numbers") else (),
        http=row.numbers("http") if row.has("http") else (),
        says=_pattern(row),
        subtype=_optional(row, "subtype"),
        status=_one_of(row, "status", STATUSES),
        second_time=_one_of(row, "second_time", STATUSES | {""}),
        held=_one_of(row, "held", STATUSES | {""}),
        class_=row.text("class"),
        action=row.text("action"),
        code=row.text("code"),
        codes=row.mapping("codes") if row.has("codes") else {},
        code_on_device=_optional(row, "code_on_device"),
        fields=row.mapping("fields") if row.has("fields") else {},
        wait=float(row.number("wait")) if row.has("wait") else None,
        wait_in_ms=_one_of(row, "wait_unit", frozenset({"", "ms"})) == "ms",
        example=_optional(row, "example"),
        certainty=row.text("certainty"),
    )
    row.finish()
    return rule


def _optional(row: Record, name: str) -> str:
    return row.text(name) if row.has(name) else ""


def _one_of(row: Record, name: str, words: frozenset[str]) -> str:
    word = _optional(row, name)
    if word not in words:
        raise mistake(row.entry, name, f"{word or 'nothing'} is not one of {', '.join(sorted(words))}")
    return word


def _pattern(row: Record) -> re.Pattern[str] | None:
    if not row.has("says"):
        return None
    try:
        return re.compile(row.text("says"), re.IGNORECASE)
    except re.error as error:
        raise mistake(row.entry, "says", f"no pattern: {error}") from error
