"""JSON objects from outside (RFC 8259), read without trust.

``json.loads`` alone lets through NaN, names that come twice and lone surrogates, and fails in five different ways.
"""

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import NoReturn, TypeGuard

from mailbearer.errors import AuthorizationUnavailableError

MAX_TEXT = 1_000  # characters kept of any text that is shown to a person
MAX_ITEMS = 500  # items kept of any list; Microsoft and Google name fewer than 20 scopes
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")


def read_object(body: bytes) -> dict[str, object]:
    """Return the JSON object that ``body`` (UTF-8) is.

    Raises:
        AuthorizationUnavailableError: MB-T44, it is none.
    """
    try:
        value: object = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is text that can never be sent
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, 4,300 digits; 1,000 brackets
        raise AuthorizationUnavailableError("MB-T44", problem="not readable as JSON") from error
    if not _is_object(value):
        raise AuthorizationUnavailableError("MB-T44", problem="not a JSON object")
    return value


def object_in(container: Mapping[str, object], name: str) -> dict[str, object]:
    """Return the object of that name, empty when there is none."""
    value = container.get(name)
    return value if _is_object(value) else {}


def raw_text_in(container: Mapping[str, object], name: str) -> str:
    """Return the text of that name exactly as it came (tokens, codes), empty when there is none."""
    value = container.get(name)
    return value if isinstance(value, str) else ""


def text_in(container: Mapping[str, object], name: str) -> str:
    """Return the text of that name fit to be shown: one line, no control characters, at most ``MAX_TEXT``."""
    return shown(raw_text_in(container, name))


def shown(text: str) -> str:
    """Return ``text`` fit to be shown: one line, no control characters, at most ``MAX_TEXT``."""
    sendable = text[: 4 * MAX_TEXT].encode("utf-8", "replace").decode()  # a lone surrogate becomes "?"
    return _UNPRINTABLE.sub(" ", sendable).strip()[:MAX_TEXT]


def items_in(container: Mapping[str, object], name: str) -> tuple[object, ...]:
    """Return the first ``MAX_ITEMS`` items of the list of that name, empty when there is none."""
    value = container.get(name)
    return tuple(value[:MAX_ITEMS]) if _is_list(value) else ()


def texts_in(container: Mapping[str, object], name: str) -> tuple[str, ...]:
    """Return the texts in the list of that name, empty when there is none."""
    return tuple(shown(item) for item in items_in(container, name) if isinstance(item, str))


def seconds_in(container: Mapping[str, object], name: str) -> float | None:
    """Return a positive number of seconds, also when it came as text; None when it is missing or absurd."""
    match container.get(name):
        case bool():
            return None
        case int() | float() as number if 0 < number < 1e15 and isfinite(number):
            return float(number)
        case str() as text if (digits := _NUMBER.fullmatch(text.strip())) and float(digits[0]) > 0:
            return float(digits[0])
        case _:
            return None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name comes twice")
    return members


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)  # NaN and Infinity are no JSON


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)
