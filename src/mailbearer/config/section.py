"""One section of the file with typed getters; every mistake is named with its section and key."""

from collections.abc import Mapping
from typing import cast

from mailbearer.errors import InvalidInputError


def split_address(text: str, *, field: str) -> tuple[str, int]:
    """Return host and port of ``host:port`` or ``[v6]:port``; port 0 asks for a free one."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port[:6]) > 65535:
        raise wrong(field, f"“{text}” is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def wrong(field: str, problem: str) -> InvalidInputError:
    """Return the error that names a field."""
    return InvalidInputError("MB-W05", field=field, problem=problem)


class Section:
    """One section; ``title`` is how mistakes name it, ``[name]`` if left out."""

    def __init__(self, tables: Mapping[str, object], name: str, *, title: str = "") -> None:
        self._title = title or f"[{name}]"
        self._content = cast("dict[str, object]", tables.get(name, {}))

    def wrong(self, key: str, problem: str) -> InvalidInputError:
        """Return the error that names a key of this section."""
        return wrong(f"{self._title} {key}", problem)

    def text(self, key: str, *, default: str) -> str:
        """Return a text."""
        value = self._content.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "is a text in quotation marks")
        return value

    def boolean(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._content.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "is true or false")
        return value

    def has(self, key: str) -> bool:
        """Tell whether the key is there."""
        return key in self._content

    def megabytes(self, key: str, *, least: int) -> int:
        """Return a number of MB of a key that is there."""
        value = self._content[key]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= 1_000_000:
            raise self.wrong(key, f"is a whole number of MB from {least} to 1000000")
        return value

    def whole(self, key: str, *, default: int, least: int, most: int) -> int:
        """Return a whole number."""
        value = self._content.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(key, f"is a whole number from {least} to {most}")
        return value

    def one_of(self, key: str, known: tuple[str, ...], *, default: str) -> str:
        """Return one of the ``known`` words."""
        value = self.text(key, default=default)
        if value not in known:
            raise self.wrong(key, f"is one of {', '.join(known)}")
        return value

    def words(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, empty when it is not there."""
        value = self._content.get(key, [])
        if not isinstance(value, list) or not all(isinstance(word, str) for word in cast("list[object]", value)):
            raise self.wrong(key, "is a list of texts")
        return tuple(cast("list[str]", value))
