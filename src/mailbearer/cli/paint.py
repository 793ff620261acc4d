"""How answers look in a terminal: status words with their shapes, tables, facts, errors; ``--json`` for machines."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from unicodedata import east_asian_width

import click

from mailbearer.admin.speech import Json
from mailbearer.errors import MailbearerError

_LOOKS: Final[Mapping[str, tuple[str, str]]] = {  # word → shape and colour; the word always stands beside the shape
    "Not Retrieved": ("○", "bright_black"),
    "Waiting for authorization": ("◔", "blue"),
    "Retrieved": ("●", "green"),
    "Invalid": ("✕", "red"),
    "Accepted": ("●", "green"),
    "Filed": ("●", "green"),
    "Waiting": ("○", "blue"),
    "Sending": ("◔", "blue"),
    "Retrying": ("◐", "yellow"),
    "Held": ("◐", "yellow"),
    "Failed": ("✕", "red"),
    "Cancelled": ("⊘", "bright_black"),
}
_LIMITS: Final[Mapping[str, str]] = {
    "connections": "connections",
    "messages_per_minute": "messages a minute",
    "recipients_per_message": "recipients a message",
    "recipients_per_day": "recipients in 24 hours",
    "size": "a message",
}
WIDEST: Final = 60  # columns of one table cell


def as_json(value: Json, *, lines: bool = False) -> None:
    """Print ``value`` as JSON; with ``lines`` in one line, where several values follow one another."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=None if lines else 2))


def word(status: str) -> str:
    """Return a status word with its shape and colour."""
    shape, colour = _LOOKS.get(status, ("·", ""))
    return click.style(f"{shape} {status}", fg=colour or None)


def bold(text: str) -> str:
    """Return ``text`` in bold."""
    return click.style(text, bold=True)


def dim(text: str) -> str:
    """Return ``text`` in grey."""
    return click.style(text, fg="bright_black")


def connection_test(job: Mapping[str, Json]) -> str:
    """Return the command to which a job that did not succeed points (SPEC M15), nothing for one that did."""
    return f"mailbearer service test {job.get('service')}" if job.get("code") else ""


def columns(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes, colours not counted."""
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in click.unstyle(text))


def pad(text: str, width: int) -> str:
    """Return ``text`` filled up with blanks to ``width`` columns."""
    return text + " " * max(0, width - columns(text))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under a grey head, each column as wide as its widest cell."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(columns(line[each]) for line in [list(head), *cells]) for each in range(len(head))]
    room = _room(sum(widths[:-1]) + 2 * (len(widths) - 1))
    cells = [[*row[:-1], clean(row[-1], most=room)] for row in cells]
    click.echo(dim("  ".join(pad(text, width) for text, width in zip(head, widths, strict=True)).rstrip()))
    for row in cells:
        click.echo("  ".join(pad(text, width) for text, width in zip(row, widths, strict=True)).rstrip())


def _room(taken: int) -> int:
    """Return how wide the last cell of a row may be: in a terminal what is left of the line, never less than a word."""
    if not sys.stdout.isatty():
        return WIDEST
    return min(WIDEST, max(12, shutil.get_terminal_size((100, 24)).columns - taken))


def facts(pairs: Iterable[tuple[str, str]], *, indent: str = "  ") -> None:
    """Print labels with their values, the empty ones left out."""
    shown = [(label, clean(value, most=400)) for label, value in pairs if value]
    width = max((columns(label) for label, _ in shown), default=0)
    for label, value in shown:
        click.echo(f"{indent}{dim(pad(label, width))}  {value}")


def clean(text: str, *, most: int = WIDEST) -> str:
    """Return ``text`` without control characters (colours of ours stay), cut to ``most`` columns."""
    bare = click.unstyle(text)
    if bare == text:
        text = "".join(char if char.isprintable() else "�" for char in text)
        return text if len(text) <= most else text[: most - 1] + "…"
    return text


def moment(value: Json) -> str:
    """Return an ISO time as local ``2026-11-23 14:32``, empty for none."""
    if not isinstance(value, str) or not value:
        return ""
    return datetime.fromisoformat(value).astimezone().strftime("%Y-%m-%d %H:%M")


def until(value: Json, *, now: datetime | None = None) -> str:
    """Return how long it is until an ISO time: ``in 14 min``, ``in 3 h``, ``12 min ago``."""
    if not isinstance(value, str) or not value:
        return ""
    seconds = int((datetime.fromisoformat(value) - (now or _now())).total_seconds())
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min"), (1, "s")):
        if abs(seconds) >= size * 2 or size == 1:
            return f"in {seconds // size} {unit}" if seconds >= 0 else f"{-seconds // size} {unit} ago"
    return ""


def over(value: Json) -> bool:
    """Tell whether an ISO time has passed."""
    return isinstance(value, str) and bool(value) and datetime.fromisoformat(value) < _now()


def _now() -> datetime:
    from mailbearer.clock import SystemClock  # it brings asyncio with it, which most commands do not need

    return SystemClock().now()


def size(octets: Json) -> str:
    """Return a size in the unit that fits."""
    if not isinstance(octets, int):
        return ""
    for unit, step in (("MB", 1_000_000), ("kB", 1_000)):
        if octets >= step:
            return f"{octets / step:.1f} {unit}"
    return f"{octets} B"


def limits(numbers: Mapping[str, Json]) -> str:
    """Return what a provider takes from one account, empty where nothing is known."""
    told: list[str] = []
    for name, unit in _LIMITS.items():
        number = numbers.get(name)
        if isinstance(number, int) and number:
            told.append(f"{size(number)} {unit}" if name == "size" else f"{number:,} {unit}")
    return ", ".join(told)


def show_error(error: MailbearerError) -> None:
    """Tell an error on standard error: what happened, why and what to do, the other side's words."""
    colour = None if coloured() else False
    told = click.style(clean(error.message, most=1000), fg="red", bold=True) + dim(f"  {error.code}")
    click.echo(told, err=True, color=colour)
    if error.hint:
        click.echo(wrapped(clean(error.hint, most=2000)), err=True, color=colour)
    if error.detail:
        click.echo(dim(f"Its own words: {clean(error.detail, most=500)}"), err=True, color=colour)


def coloured() -> bool:
    """Tell whether colours are wanted: not with NO_COLOR (https://no-color.org), not on a terminal that has none."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def terminal_width() -> int:
    """Return how many columns a text may take."""
    return min(shutil.get_terminal_size((100, 24)).columns, 110)


def wrapped(text: str, *, indent: str = "", hang: str | None = None) -> str:
    """Return ``text`` broken into lines at blanks only: names and addresses stay whole."""
    return textwrap.fill(
        text,
        terminal_width(),
        initial_indent=indent,
        subsequent_indent=indent if hang is None else hang,
        break_long_words=False,
        break_on_hyphens=False,
    )
