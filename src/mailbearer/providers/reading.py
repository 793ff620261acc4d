"""Reading the product's own JSON field by field; a mistake is told with the name of the entry and of the field."""

import json
from collections.abc import Mapping

from mailbearer.errors import InvalidInputError


def mistake(entry: str, field: str, problem: str) -> InvalidInputError:
    """Return the error for ``field`` of ``entry``."""
    return InvalidInputError("MB-W05", field=f"{entry}: {field}", problem=problem)


class Record:
    """One JSON object. Every getter wants its field to be there and of its type, else raises MB-W05."""

    def __init__(self, value: object, entry: str) -> None:
        if not isinstance(value, dict):
            raise mistake(entry, "entry", "an object is wanted here")
        members: dict[object, object] = {**value}
        self.entry = entry
        self.members: dict[str, object] = {str(name): member for name, member in members.items()}
        self._read: set[str] = set()

    def _get(self, name: str) -> object:
        self._read.add(name)
        if name not in self.members:
            raise mistake(self.entry, name, "it is missing")
        return self.members[name]

    def text(self, name: str) -> str:
        """Return a text."""
        value = self._get(name)
        if not isinstance(value, str):
            raise mistake(self.entry, name, "a text is wanted here")
        return value

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value = self._get(name)
        if not isinstance(value, bool):
            raise mistake(self.entry, name, "true or false is wanted here")
        return value

    def number(self, name: str) -> int:
        """Return a whole number that is not negative."""
        value = self._get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise mistake(self.entry, name, "a whole number is wanted here")
        return value

    def items(self, name: str) -> tuple[object, ...]:
        """Return a list of anything."""
        value = self._get(name)
        if not isinstance(value, list):
            raise mistake(self.entry, name, "a list is wanted here")
        members: list[object] = [*value]
        return tuple(members)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        return tuple(self._text_in(name, item) for item in self.items(name))

    def numbers(self, name: str) -> tuple[int, ...]:
        """Return a list of whole numbers."""
        return tuple(Record({name: item}, self.entry).number(name) for item in self.items(name))

    def record(self, name: str) -> "Record":
        """Return an object within this one."""
        return Record(self._get(name), f"{self.entry}: {name}")

    def mapping(self, name: str) -> Mapping[str, str]:
        """Return an object whose members are all texts."""
        return {key: self._text_in(name, value) for key, value in self.record(name).members.items()}

    def has(self, name: str) -> bool:
        """Is the field there, and not null?"""
        self._read.add(name)
        return self.members.get(name) is not None

    def finish(self) -> None:
        """Raise MB-W05 for a field that nobody asked for: a typing error, most likely."""
        for name in self.members:
            if name not in self._read:
                raise mistake(self.entry, name, "there is no such field")

    def _text_in(self, name: str, value: object) -> str:
        if not isinstance(value, str):
            raise mistake(self.entry, name, "texts are wanted here")
        return value


def parse(text: str, entry: str) -> object:
    """Return what the JSON ``text`` holds.

    Raises:
        InvalidInputError: MB-W05, it is no JSON.
    """
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise mistake(entry, "entry", "it is not JSON") from error
    return found
