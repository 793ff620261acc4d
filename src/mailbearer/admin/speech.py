"""The language between deeds and doors: JSON values, typed arguments, and telling what happens on the way."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from mailbearer.errors import InvalidInputError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Tell: TypeAlias = Callable[[dict[str, Json]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Who:
    """Who does it, and from where; both go into the audit log."""

    name: str
    place: str


class Arguments:
    """The arguments of one deed; a missing or wrong one is named."""

    def __init__(self, values: Mapping[str, Json], content: AsyncIterator[bytes] | None = None) -> None:
        self._values = values
        self.content = content

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text; without ``default`` it must be there."""
        value = self._values.get(name, default)
        if not isinstance(value, str):
            raise InvalidInputError("MB-W05", field=name, problem="a text is needed")
        return value

    def flag(self, name: str) -> bool:
        """Return a yes or no; no when it is not there."""
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise InvalidInputError("MB-W05", field=name, problem="true or false is needed")
        return value

    def whole(self, name: str, *, default: int, least: int = 0, most: int = 100_000) -> int:
        """Return a whole number from ``least`` to ``most``."""
        value = self._values.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise InvalidInputError("MB-W05", field=name, problem=f"enter a number from {least} to {most}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; empty when it is not there."""
        value = self._values.get(name, [])
        if not isinstance(value, list):
            raise InvalidInputError("MB-W05", field=name, problem="a list is needed")
        texts = tuple(each for each in value if isinstance(each, str))
        if len(texts) != len(value):
            raise InvalidInputError("MB-W05", field=name, problem="a list of texts is needed")
        return texts

    def mapping(self, name: str) -> dict[str, str]:
        """Return names with texts; empty when it is not there."""
        value = self._values.get(name, {})
        if not isinstance(value, dict):
            raise InvalidInputError("MB-W05", field=name, problem="names with values are needed")
        texts = {key: each for key, each in value.items() if isinstance(each, str)}
        if len(texts) != len(value):
            raise InvalidInputError("MB-W05", field=name, problem="every value is a text")
        return texts
