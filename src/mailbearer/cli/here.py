"""Doing a deed in the command itself, when no service runs on the data folder."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

from mailbearer.admin.speech import Arguments, Json, Who
from mailbearer.app import open_app
from mailbearer.config.load import load_config
from mailbearer.control.people import user_name

CHUNK = 256 * 1024


def perform_here(
    folder: Path,
    deed: str,
    arguments: dict[str, Json],
    *,
    content: tuple[BinaryIO, int] | None,
    on_event: Callable[[dict[str, Json]], None],
) -> Json:
    """Open the store, do ``deed``, close the store."""
    logging.getLogger("mailbearer").addHandler(logging.NullHandler())  # what went wrong, the command itself tells
    return asyncio.run(_perform(folder, deed, Arguments(arguments, _chunks(content)), on_event))


async def _perform(folder: Path, deed: str, arguments: Arguments, on_event: Callable[[dict[str, Json]], None]) -> Json:
    async def tell(event: dict[str, Json]) -> None:
        on_event(event)

    who = Who(name=user_name(), place=f"command line, pid {os.getpid()}")
    async with open_app(folder, load_config(folder)) as app:
        return await app.deeds.perform(deed, arguments, who, tell)


def _chunks(content: tuple[BinaryIO, int] | None) -> AsyncIterator[bytes] | None:
    if content is None:
        return None
    file, _ = content

    async def read() -> AsyncIterator[bytes]:
        while chunk := file.read(CHUNK):
            yield chunk

    return read()
