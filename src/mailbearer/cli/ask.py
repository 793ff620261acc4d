"""Asking for a deed: through the running service when there is one, otherwise done here under the same locks."""

import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import click

from mailbearer.admin.speech import Json
from mailbearer.control.client import ask, connect
from mailbearer.control.people import user_name
from mailbearer.errors import ConflictError, InvalidInputError, StoreError

SOCKET_NAME = "control.sock"
PASTE_MAX = 64 * 1024  # characters of a pasted address


def _nothing(_: dict[str, Json]) -> None:
    """Let an event pass."""


def served(folder: Path) -> bool:
    """Tell whether a service runs on this data folder."""
    peer = connect(folder / SOCKET_NAME)
    if peer is None:
        return False
    peer.close()
    return True


def refuse_strangers(folder: Path) -> None:
    """See whether the data folder is ours to enter: whose it is helps more than that permission was denied.

    Raises:
        StoreError: MB-D01, it is another user's.
    """
    whose = ["root"]
    try:
        whose.append(user_name(folder.stat().st_uid))
        allowed = os.access(folder, os.R_OK | os.X_OK)
    except PermissionError:
        allowed = False
    except OSError:
        return  # there is none yet, or the command itself tells what is wrong with it
    if not allowed:
        names = " or as ".join(dict.fromkeys(whose))
        raise StoreError("MB-D01", path=folder, reason=f"It is another user's: use the command as {names}")


def perform(
    folder: Path,
    deed: str,
    arguments: dict[str, Json] | None = None,
    *,
    content: tuple[BinaryIO, int] | None = None,
    on_event: Callable[[dict[str, Json]], None] = _nothing,
) -> dict[str, Json]:
    """Have ``deed`` done and return its result.

    Raises:
        StoreError: MB-D01, the data folder is another user's.
    """
    refuse_strangers(folder)
    peer = connect(folder / SOCKET_NAME)
    if peer is not None:
        with peer:
            result = ask(peer, deed, arguments or {}, content=content, on_event=on_event)
    else:
        from mailbearer.cli.here import perform_here

        result = perform_here(folder, deed, arguments or {}, content=content, on_event=on_event)
    return result if isinstance(result, dict) else {}


def confirm(question: str, *, yes: bool) -> None:
    """Ask for OK, unless ``yes`` was said already.

    Raises:
        ConflictError: MB-T53, there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConflictError("MB-T53")
    click.confirm(question, abort=True, err=True)


def listed(result: dict[str, Json], name: str) -> list[dict[str, Json]]:
    """Return the objects of a list in a result."""
    value = result.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def held(result: dict[str, Json], name: str) -> dict[str, Json]:
    """Return an object inside a result, empty when there is none."""
    value = result.get(name)
    return value if isinstance(value, dict) else {}


def text(result: dict[str, Json], name: str) -> str:
    """Return a text inside a result, empty when there is none."""
    value = result.get(name)
    return "" if value is None or isinstance(value, list | dict) else str(value)


def assignments(words: tuple[str, ...], *, secrets: frozenset[str]) -> dict[str, Json]:
    """Return the names and values of ``name=value`` words.

    A secret is never taken from the command line, where every user of the machine could read it: ``password=@FILE``
    reads it from a file, ``password=-`` asks for it (or reads a line from standard input).
    """
    values: dict[str, Json] = {}
    for each in words:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise click.UsageError(f"“{each}” is not name=value")
        if name in secrets:
            value = _secret(name, value)
        if name in values and name != "destinations":
            raise click.UsageError(f"{name} is given twice")
        if name in values:
            value = f"{values[name]}\n{value}"
        values[name] = value
    return values


def _secret(name: str, value: str) -> str:
    if value == "-":
        if sys.stdin.isatty():
            return getpass.getpass(f"{name}: ")
        return sys.stdin.readline().rstrip("\r\n")
    if value.startswith("@"):
        try:
            return Path(value[1:]).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInputError("MB-W05", field=name, problem=f"{value[1:]} cannot be read") from error
    if value:
        raise click.UsageError(f"a secret on the command line can be read by others: write {name}=@FILE or {name}=-")
    return ""
