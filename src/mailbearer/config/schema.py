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
        metadata=_says("100; less on a disk below 2 GB", "free disk space in MB below which no more mail is accepted"),
    )
    message_mb: int = field(
        default=MESSAGE_DEFAULT_MB, metadata=_says(MESSAGE_DEFAULT_MB, "largest message in MB that is accepted")
    )


@dataclass(frozen=True, slots=True)
class PracticeSection:
    """The practice provider."""

    enabled: bool = field(default=False, metadata=_says("false", "true: `serve` runs the practice provider as well"))


class ListenerKind(StrEnum):
    """For whom a listener is."""

    SUBMISSION = "submission"
    OLD_DEVICES = "old-devices"


class ListenerTls(StrEnum):
    """How encryption begins on a listener."""

    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    BOTH = "both"


class BareLf(StrEnum):
    """What becomes of a message with line ends that stand alone; they never end it."""

    REPAIR = "repair"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class ListenerSection:
    """One listener for devices; write ``[[listener]]`` once for each. Without any there is the one of the defaults."""

    name: str = field(
        default="local", metadata=_says("port and its number", "what it is called in the log; each has its own")
    )
    kind: ListenerKind = field(
        default=ListenerKind.SUBMISSION,
        metadata=_says("submission", "`submission`, or `old-devices`: TLS down to 1.0, only for `networks`"),
    )
    address: str = field(
        default="127.0.0.1:2525", metadata=_says("127.0.0.1:2525", "address and port; 0.0.0.0:587 lets the network in")
    )
    tls: ListenerTls = field(
        default=ListenerTls.BOTH,
        metadata=_says("both", "`none`, `starttls`, `implicit`, or `both` on one port"),
    )
    certificate: str = field(
        default="",
        metadata=_says("", "file of the certificate with its chain; empty: one made at the first start"),
    )
    key: str = field(default="", metadata=_says("", "file of its key; empty: it is in the same file"))
    networks: tuple[str, ...] = field(
        default=(), metadata=_says("[]", "addresses and ranges that may connect; empty: all")
    )
    trusted_proxies: tuple[str, ...] = field(
        default=(), metadata=_says("[]", "load balancers that say in a PROXY header who connects")
    )
    passwords_in_clear: bool = field(
        default=False,
        metadata=_says("false; true on 127.0.0.1", "take passwords without encryption; only together with `networks`"),
    )
    bare_lf: BareLf = field(
        default=BareLf.REPAIR, metadata=_says("repair", "`repair` or `refuse` messages whose line ends stand alone")
    )
    received: bool = field(default=True, metadata=_says("true", "false: no Received field with the device's address"))
    size_mb: int = field(default=35, metadata=_says(35, "largest message in MB; at most 150"))
    recipients: int = field(default=500, metadata=_says(500, "recipients of one message"))
    connections: int = field(default=1_000, metadata=_says(1_000, "connections at the same time"))
    connections_per_address: int = field(default=50, metadata=_says(50, "connections from one address"))


@dataclass(frozen=True, slots=True)
class WatchSection:
    """One watched folder; write ``[[watch]]`` once for each. A file saved there is sent and moved to ``sent/``."""

    folder: str = field(default="", metadata=_says("", "absolute path of the folder; must be given"))
    to: tuple[str, ...] = field(default=(), metadata=_says("[]", "recipients; must be given"))
    service: str = field(default="smtp", metadata=_says("smtp", "by which service it is sent"))
    subject: str = field(default="{name}", metadata=_says("{name}", "subject; `{name}` is the name of the file"))
    text: str = field(default="", metadata=_says("", "text of the message; `{name}` is the name of the file"))
    settle_seconds: int = field(
        default=10, metadata=_says(10, "seconds that a file must be unchanged before it counts as complete")
    )


LISTENERS_MAX = 32
WATCHES_MAX = 100


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file."""

    web: WebSection = field(default_factory=WebSection)
    key: KeySection = field(default_factory=KeySection)
    log: LogSection = field(default_factory=LogSection)
    queue: QueueSection = field(default_factory=QueueSection)
    practice: PracticeSection = field(default_factory=PracticeSection)
    listeners: tuple[ListenerSection, ...] = (ListenerSection(passwords_in_clear=True),)
    watches: tuple[WatchSection, ...] = ()


SECTIONS: dict[str, type] = {
    "web": WebSection,
    "key": KeySection,
    "log": LogSection,
    "queue": QueueSection,
    "practice": PracticeSection,
}
LISTS: dict[str, type] = {"listener": ListenerSection, "watch": WatchSection}
"""Sections that may stand there several times, as ``[[listener]]``."""


def keys_of(section: str) -> tuple[str, ...]:
    """Return the names that ``[section]`` or ``[[section]]`` may hold."""
    return tuple(each.name for each in fields({**SECTIONS, **LISTS}[section]))
