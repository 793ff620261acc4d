"""Between table rows and model values: typed columns, times, and JSON columns.

Times are whole microseconds since 1970 in UTC, so that both SQLite and PostgreSQL compare them as numbers.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import chain
from typing import Protocol, TypeAlias, TypeVar, cast

import apsw

from mailbearer.errors import StoreError
from mailbearer.model.grant import Trouble

Value: TypeAlias = int | float | bytes | str | None
Word = TypeVar("Word", bound=StrEnum)

ROWS_AT_ONCE = 64  # 21 columns each stay well below the 32,766 values that SQLite takes
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps makes a new one each time


class _Cursor(Protocol):
    def fetchall(self) -> list[tuple[Value, ...]]: ...


class _Connection(Protocol):
    """What we use of apsw.Connection, with types that are known in Python 3.11 too."""

    def execute(self, statements: str, bindings: Sequence[Value] = ()) -> _Cursor: ...


def execute(connection: apsw.Connection, sql: str, bindings: Sequence[Value] = ()) -> list[tuple[Value, ...]]:
    """Carry out ``sql`` to its end and return what it gives; the one door to SQLite's own types."""
    return cast("_Connection", connection).execute(sql, bindings).fetchall()


def select(connection: apsw.Connection, sql: str, bindings: Sequence[Value] = ()) -> list["Row"]:
    """Return all rows that ``sql`` finds."""
    return [Row(values) for values in execute(connection, sql, bindings)]


def select_one(connection: apsw.Connection, sql: str, bindings: Sequence[Value] = ()) -> "Row | None":
    """Return the first row that ``sql`` finds."""
    rows = select(connection, sql, bindings)
    return rows[0] if rows else None


def change(connection: apsw.Connection, sql: str, bindings: Sequence[Value] = ()) -> int:
    """Carry out one INSERT, UPDATE or DELETE; return how many rows it touched."""
    execute(connection, sql, bindings)
    return connection.changes()


def insert_all(connection: apsw.Connection, into: str, rows: Sequence[Sequence[Value]]) -> None:
    """Carry out ``INSERT INTO {into} VALUES …``, one statement for each ``ROWS_AT_ONCE`` of ``rows``.

    So that few statements are ever prepared, rows of nothing are added up to a power of two; ``into`` leaves them out.
    """
    for at in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[at : at + ROWS_AT_ONCE]
        columns, count = len(part[0]), 1 << (len(part) - 1).bit_length()
        values = [*chain.from_iterable(part), *[None] * ((count - len(part)) * columns)]
        execute(connection, _insert_of(into, columns, count), values)


@lru_cache
def _insert_of(into: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {into} VALUES {', '.join([row] * rows)}"  # noqa: S608 - no value is in the text


def pragma(connection: apsw.Connection, name: str, value: str | int) -> str:
    """Set a pragma of SQLite; return what it answers, empty for nothing."""
    answer = execute(connection, f"PRAGMA {name} = {value}")
    return str(answer[0][0]) if answer else ""


class Row:
    """One row, read from left to right as the types that the table promises.

    Raises:
        StoreError: MB-D02, a column holds something else.
    """

    __slots__ = ("_rest",)

    def __init__(self, values: Sequence[Value]) -> None:
        self._rest = iter(values)

    def text(self) -> str:
        """Return the next column, a text."""
        value = next(self._rest)
        if not isinstance(value, str):
            raise _damaged()
        return value

    def number(self) -> int:
        """Return the next column, a whole number."""
        value = next(self._rest)
        if not isinstance(value, int):
            raise _damaged()
        return value

    def blob(self) -> bytes:
        """Return the next column, bytes."""
        value = self.maybe_blob()
        if value is None:
            raise _damaged()
        return value

    def maybe_blob(self) -> bytes | None:
        """Return the next column, bytes or nothing."""
        value = next(self._rest)
        if not (value is None or isinstance(value, bytes)):
            raise _damaged()
        return value

    def time(self) -> datetime:
        """Return the next column, a time."""
        value = self.maybe_time()
        if value is None:
            raise _damaged()
        return value

    def maybe_time(self) -> datetime | None:
        """Return the next column, a time or nothing."""
        value = next(self._rest)
        if value is None:
            return None
        if not isinstance(value, int):
            raise _damaged()
        return from_micros(value)

    def span(self) -> timedelta:
        """Return the next column, a span of time."""
        return to_span(self.number())

    def texts(self) -> tuple[str, ...]:
        """Return the next column, a JSON list of texts."""
        return tuple(as_text(item) for item in as_list(loads(self.text())))

    def trouble(self) -> Trouble | None:
        """Return the next column, a trouble as JSON or nothing (empty text)."""
        text = self.text()
        return _trouble_of(as_mapping(loads(text))) if text else None


def to_micros(time: datetime) -> int:
    """Return ``time`` (aware) as the database keeps it."""
    return from_span(time - _EPOCH)


def maybe_micros(time: datetime | None) -> int | None:
    """Return ``time`` as the database keeps it, nothing for nothing."""
    return None if time is None else to_micros(time)


def from_micros(micros: int) -> datetime:
    """Return the time that the database keeps as ``micros``."""
    try:
        return _EPOCH + to_span(micros)
    except OverflowError as error:
        raise _damaged() from error


def printable(text: str) -> str:
    """Return ``text`` storable, with what is no Unicode (out of a broken header) escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def to_span(micros: int) -> timedelta:
    """Return the span of time that the database keeps as ``micros``."""
    try:
        return timedelta(microseconds=micros)
    except OverflowError as error:
        raise _damaged() from error


def from_span(span: timedelta) -> int:
    """Return ``span`` as the database keeps it."""
    return span // _MICROSECOND


def dumps(value: object) -> str:
    """Return ``value`` as compact JSON."""
    return _encode(value)


def loads(text: str) -> object:
    """Read a JSON column.

    Raises:
        StoreError: MB-D02, it is none.
    """
    try:
        return cast("object", json.loads(text))
    except (ValueError, RecursionError) as error:
        raise _damaged() from error


def as_mapping(value: object) -> Mapping[str, object]:
    """Return ``value``, a JSON object."""
    if not isinstance(value, dict):
        raise _damaged()
    return cast("dict[str, object]", value)


def as_list(value: object) -> list[object]:
    """Return ``value``, a JSON array."""
    if not isinstance(value, list):
        raise _damaged()
    return cast("list[object]", value)


def as_text(value: object) -> str:
    """Return ``value``, a JSON string."""
    if not isinstance(value, str):
        raise _damaged()
    return value


def as_texts(value: object, count: int) -> tuple[str, ...]:
    """Return ``value``, a JSON array of ``count`` strings."""
    texts = tuple(as_text(item) for item in as_list(value))
    if len(texts) != count:
        raise _damaged()
    return texts


def as_number(value: object) -> int:
    """Return ``value``, a whole JSON number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise _damaged()
    return value


def word_of(words: type[Word], text: str) -> Word:
    """Return the one of ``words`` that the database wrote as ``text``."""
    try:
        return words(text)
    except ValueError as error:
        raise _damaged() from error


def trouble_text(trouble: Trouble | None) -> str:
    """Return ``trouble`` as its column keeps it."""
    if trouble is None:
        return ""
    return dumps(
        {
            "code": trouble.code,
            "since": to_micros(trouble.since),
            "fields": dict(trouble.fields),
            "provider_error": trouble.provider_error,
            "number": trouble.number,
            "trace": trouble.trace,
            "detail": trouble.detail,
            "next_try": maybe_micros(trouble.next_try),
        }
    )


def _trouble_of(kept: Mapping[str, object]) -> Trouble:
    number, next_try = kept.get("number"), kept.get("next_try")
    return Trouble(
        code=as_text(kept.get("code")),
        since=from_micros(as_number(kept.get("since"))),
        fields={name: as_text(value) for name, value in as_mapping(kept.get("fields")).items()},
        provider_error=as_text(kept.get("provider_error")),
        number=None if number is None else as_number(number),
        trace=as_text(kept.get("trace")),
        detail=as_text(kept.get("detail")),
        next_try=None if next_try is None else from_micros(as_number(next_try)),
    )


def _damaged() -> StoreError:
    return StoreError("MB-D02", path="mailbearer.db")
