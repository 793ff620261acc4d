"""Reading ``mailbearer.toml``: every mistake is named with its section and key, and nothing is guessed."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from mailbearer.config.schema import (
    SECTIONS,
    Config,
    KeySection,
    KeySourceKind,
    LogFormat,
    LogSection,
    PracticeSection,
    QueueSection,
    WebSection,
    keys_of,
)
from mailbearer.errors import InvalidInputError, StoreError

FILE_NAME = "mailbearer.toml"
FILE_MAX = 64 * 1024  # octets; a hand-written file of this kind has some hundred
LEVELS = ("debug", "info", "warning", "error")


def load_config(folder: Path) -> Config:
    """Return what ``folder/mailbearer.toml`` says, all defaults where there is none.

    Raises:
        InvalidInputError: the file is no TOML, or a section, key or value cannot be.
        StoreError: the file exists and cannot be read.
    """
    path = folder / FILE_NAME
    try:
        with path.open("rb") as file:
            content = file.read(FILE_MAX + 1)
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise StoreError("MB-D01", path=path, reason=error.strerror or "unreadable") from error
    if len(content) > FILE_MAX:
        raise _wrong(FILE_NAME, f"is longer than {FILE_MAX // 1024} KB")
    try:
        tables = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _wrong(FILE_NAME, f"is not TOML ({error})") from error
    return parse_config(tables)


def parse_config(tables: Mapping[str, object]) -> Config:
    """Return the configuration that ``tables`` (section → key → value) describe."""
    for section, content in tables.items():
        if section not in SECTIONS:
            raise InvalidInputError("MB-W26", kind=FILE_NAME, field=section, known=", ".join(SECTIONS))
        if not isinstance(content, dict):
            raise _wrong(section, "is a section, write it as [" + section + "]")
        known = keys_of(section)
        for key in cast("dict[str, object]", content):
            if key not in known:
                raise InvalidInputError("MB-W26", kind=f"[{section}]", field=key, known=", ".join(known))
    return Config(
        web=_web(_Section(tables, "web")),
        key=_key(_Section(tables, "key")),
        log=_log(_Section(tables, "log")),
        queue=_queue(_Section(tables, "queue")),
        practice=PracticeSection(enabled=_Section(tables, "practice").boolean("enabled", default=False)),
    )


def split_address(text: str, *, field: str) -> tuple[str, int]:
    """Return host and port of ``host:port`` or ``[v6]:port``; port 0 asks for a free one."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port[:6]) > 65535:
        raise _wrong(field, f"“{text}” is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _wrong(field: str, problem: str) -> InvalidInputError:
    return InvalidInputError("MB-W05", field=field, problem=problem)


class _Section:
    """One section with typed getters."""

    def __init__(self, tables: Mapping[str, object], name: str) -> None:
        self._name = name
        self._content = cast("dict[str, object]", tables.get(name, {}))

    def wrong(self, key: str, problem: str) -> InvalidInputError:
        return _wrong(f"[{self._name}] {key}", problem)

    def text(self, key: str, *, default: str) -> str:
        value = self._content.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "is a text in quotation marks")
        return value

    def boolean(self, key: str, *, default: bool) -> bool:
        value = self._content.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "is true or false")
        return value

    def has(self, key: str) -> bool:
        return key in self._content

    def megabytes(self, key: str, *, least: int) -> int:
        value = self._content[key]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= 1_000_000:
            raise self.wrong(key, f"is a whole number of MB from {least} to 1000000")
        return value

    def one_of(self, key: str, known: tuple[str, ...], *, default: str) -> str:
        value = self.text(key, default=default)
        if value not in known:
            raise self.wrong(key, f"is one of {', '.join(known)}")
        return value

    def words(self, key: str) -> tuple[str, ...]:
        value = self._content.get(key, [])
        if not isinstance(value, list) or not all(isinstance(word, str) for word in cast("list[object]", value)):
            raise self.wrong(key, "is a list of texts")
        return tuple(cast("list[str]", value))


def _web(section: _Section) -> WebSection:
    address = section.text("address", default=WebSection().address)
    split_address(address, field="[web] address")
    return WebSection(address=address, enabled=section.boolean("enabled", default=True))


def _key(section: _Section) -> KeySection:
    source = KeySourceKind(section.one_of("source", tuple(KeySourceKind), default=KeySourceKind.FILE))
    command = section.words("command")
    if source is KeySourceKind.COMMAND and not command:
        raise section.wrong("command", "names no program, but source is “command”")
    return KeySection(source=source, file=section.text("file", default=""), command=command)


def _log(section: _Section) -> LogSection:
    return LogSection(
        level=section.one_of("level", LEVELS, default="info"),
        format=LogFormat(section.one_of("format", tuple(LogFormat), default=LogFormat.TEXT)),
    )


def _queue(section: _Section) -> QueueSection:
    reserve = section.megabytes("reserve_mb", least=0) if section.has("reserve_mb") else None
    default = QueueSection().message_mb
    return QueueSection(reserve, section.megabytes("message_mb", least=1) if section.has("message_mb") else default)
