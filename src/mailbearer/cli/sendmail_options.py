"""The options of the sendmail command (sendmail(8), Postfix's sendmail(1)): what they mean, and which are ignored."""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from mailbearer.errors import InvalidInputError

IGNORED: Final = frozenset("GUmnvAeo")  # with or without more letters behind them: -oem, -Am, -v
IGNORED_WITH_VALUE: Final = frozenset("BCLNORVXhpd")  # -B 8BITMIME, -N never, -O option=value …


class Mode(Enum):
    """What is to be done."""

    SEND = auto()
    CONVERSE = auto()  # -bs
    LIST = auto()  # -bp, mailq
    FLUSH = auto()  # -q
    NOTHING = auto()  # -bi, newaliases; -I


_MODES: Final = {"m": Mode.SEND, "s": Mode.CONVERSE, "p": Mode.LIST, "i": Mode.NOTHING}


@dataclass(slots=True)
class Options:
    """What was asked for; ``sender`` is empty when not named, ``<>`` for nobody."""

    mode: Mode = Mode.SEND
    sender: str = ""
    name: str = ""
    extract: bool = False
    dots_are_text: bool = False
    recipients: list[str] = field(default_factory=list[str])


def read_options(words: tuple[str, ...]) -> Options:
    """Return what the command line says.

    Raises:
        InvalidInputError: MB-W05, an option is unknown or lacks its value.
    """
    options = Options()
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            options.recipients += waiting
            break
        if len(word) > 1 and word.startswith("-"):
            _take(options, word[1:], waiting)
        else:
            options.recipients.append(word)
    options.recipients = [one.strip() for each in options.recipients for one in each.split(",") if one.strip()]
    return options


def _take(options: Options, text: str, waiting: list[str]) -> None:
    letter, rest = text[0], text[1:]
    match letter:
        case "t":
            options.extract = True
            if rest:  # -ti
                _take(options, rest, waiting)
        case "i":
            options.dots_are_text = True
            if rest:  # -it
                _take(options, rest, waiting)
        case "f" | "r":
            options.sender = _value(letter, rest, waiting).strip() or "<>"
        case "F":
            options.name = _value(letter, rest, waiting)
        case "b" if rest in _MODES:
            options.mode = _MODES[rest]
        case "q":
            options.mode = Mode.FLUSH
        case "I":
            options.mode = Mode.NOTHING
        case _:
            _take_other(options, text, waiting)


def _take_other(options: Options, text: str, waiting: list[str]) -> None:
    letter, rest = text[0], text[1:]
    if letter == "o" and rest == "i":
        options.dots_are_text = True
    elif (letter == "o" and not rest) or letter in IGNORED_WITH_VALUE:
        _value(letter, rest, waiting)
    elif letter not in IGNORED:
        raise InvalidInputError("MB-W05", field=f"-{text}", problem="there is no such option")


def _value(letter: str, rest: str, waiting: list[str]) -> str:
    if rest:
        return rest
    if not waiting:
        raise InvalidInputError("MB-W05", field=f"-{letter}", problem="it wants a value")
    return waiting.pop(0)
