"""What ``mailbearer.toml`` may say: sections, keys, defaults and their meaning; docs/settings.md is made from it."""

from dataclasses import dataclass, field, fields
from enum import StrEnum

MESSAGE_DEFAULT_MB = 150


class KeySourceKind(StrEnum):
    """Where the master key comes from."""

    FILE = "file"
    CREDENTIAL = "credential"
    ENVIRONMENT = "env"
    COMMAND = "command"


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


def _says(default: object, meaning: str) -> dict[str, str]:
    return {"default": str(default), "meaning": meaning}


@dataclass(frozen=True, slots=True)
class WebSection:
    """The web listener."""

    address: str = field(
        default="127.0.0.1:8080",
        metadata=_says("127.0.0.1:8080", "where health, metrics and the sign-in callback are served"),
    )
    enabled: bool = field(default=True, metadata=_says("true", "false: no web listener at all"))


@dataclass(frozen=True, slots=True)
class KeySection:
    """The master key of the vault."""

    source: KeySourceKind = field(
        default=KeySourceKind.FILE,
        metadata=_says("file", "`file`, `credential` (systemd), `env` (MAILBEARER_KEY) or `command`"),
    )
    file: str = field(default="", metadata=_says("", "path of the key file; empty: `vault.key` in the data folder"))
    command: tuple[str, ...] = field(
        default=(), metadata=_says("[]", "program and arguments that print the key, for instance a keyring tool")
    )


@dataclass(frozen=True, slots=True)
class LogSection:
    """The log on standard error."""

    level: str = field(default="info", metadata=_says("info", "`debug`, `info`, `warning` or `error`"))
    format: LogFormat = field(default=LogFormat.TEXT, metadata=_says("text", "`text` or `json` (one object a line)"))


@dataclass(frozen=True, slots=True)
class QueueSection:
    """The outgoing queue."""

    reserve_mb: int | None = field(
        default=None,
        metadata=_says(
            "100, or a twentieth of a smaller disk", "free disk space in MB below which no more mail is accepted"
        ),
    )
    message_mb: int = field(
        default=MESSAGE_DEFAULT_MB, metadata=_says(MESSAGE_DEFAULT_MB, "largest message in MB that is accepted")
    )


@dataclass(frozen=True, slots=True)
class PracticeSection:
    """The practice provider."""

    enabled: bool = field(default=False, metadata=_says("false", "true: `serve` runs the practice provider as well"))


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file."""

    web: WebSection = field(default_factory=WebSection)
    key: KeySection = field(default_factory=KeySection)
    log: LogSection = field(default_factory=LogSection)
    queue: QueueSection = field(default_factory=QueueSection)
    practice: PracticeSection = field(default_factory=PracticeSection)


SECTIONS: dict[str, type] = {
    "web": WebSection,
    "key": KeySection,
    "log": LogSection,
    "queue": QueueSection,
    "practice": PracticeSection,
}


def keys_of(section: str) -> tuple[str, ...]:
    """Return the names that ``[section]`` may hold."""
    return tuple(each.name for each in fields(SECTIONS[section]))
