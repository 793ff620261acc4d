"""Reading ``mailbearer.toml``: every mistake is named with its section and key, and nothing is guessed."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from mailbearer.config.lists import read_listeners, read_watches
from mailbearer.config.schema import (
    LISTS,
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
from mailbearer.config.section import Section, split_address, wrong
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
        raise wrong(FILE_NAME, f"is longer than {FILE_MAX // 1024} KB")
    try:
        tables = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise wrong(FILE_NAME, f"is not TOML ({error})") from error
    return parse_config(tables)


def parse_config(tables: Mapping[str, object]) -> Config:
    """Return the configuration that ``tables`` (section → key → value) describe."""
    for section, content in tables.items():
        if section in LISTS:
            continue
        if section not in SECTIONS:
            raise InvalidInputError("MB-W26", kind=FILE_NAME, field=section, known=", ".join((*SECTIONS, *LISTS)))
        if not isinstance(content, dict):
            raise wrong(section, "is a section, write it as [" + section + "]")
        known = keys_of(section)
        for key in cast("dict[str, object]", content):
            if key not in known:
                raise InvalidInputError("MB-W26", kind=f"[{section}]", field=key, known=", ".join(known))
    return Config(
        web=_web(Section(tables, "web")),
        key=_key(Section(tables, "key")),
        log=_log(Section(tables, "log")),
        queue=_queue(Section(tables, "queue")),
        practice=PracticeSection(enabled=Section(tables, "practice").boolean("enabled", default=False)),
        listeners=read_listeners(tables),
        watches=read_watches(tables),
    )


def _web(section: Section) -> WebSection:
    address = section.text("address", default=WebSection().address)
    split_address(address, field="[web] address")
    return WebSection(address=address, enabled=section.boolean("enabled", default=True))


def _key(section: Section) -> KeySection:
    source = KeySourceKind(section.one_of("source", tuple(KeySourceKind), default=KeySourceKind.FILE))
    command = section.words("command")
    if source is KeySourceKind.COMMAND and not command:
        raise section.wrong("command", "names no program, but source is “command”")
    return KeySection(source=source, file=section.text("file", default=""), command=command)


def _log(section: Section) -> LogSection:
    return LogSection(
        level=section.one_of("level", LEVELS, default="info"),
        format=LogFormat(section.one_of("format", tuple(LogFormat), default=LogFormat.TEXT)),
    )


def _queue(section: Section) -> QueueSection:
    reserve = section.megabytes("reserve_mb", least=0) if section.has("reserve_mb") else None
    default = QueueSection().message_mb
    return QueueSection(reserve, section.megabytes("message_mb", least=1) if section.has("message_mb") else default)
