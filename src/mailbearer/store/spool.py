"""Contents of messages that an earlier version accepted, one file each: ``spool/ab/ID.eml``. Used up, never added to.

``ab`` are the last two characters of the id. A content was on the disk before its row was committed, and outlives it.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from mailbearer.errors import NotFoundError, StoreError
from mailbearer.model.message import MessageId
from mailbearer.store import failures

CHUNK_BYTES = 256 * 1024

_ID = re.compile(r"[A-Za-z0-9_-]{2,100}")


class Spool:
    """The folder of those contents; it need not be there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def open(self, message: MessageId) -> AsyncIterator[bytes]:
        """Yield the content in pieces of at most ``CHUNK_BYTES``.

        Raises:
            StoreError: MB-D05, it is not there or cannot be read.
        """
        path = self._path_of(message)
        try:
            file = await asyncio.to_thread(path.open, "rb", buffering=0)
            with file:
                while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            raise StoreError("MB-D05", reason=error.strerror or str(error), path=str(path)) from error

    async def remove(self, message: MessageId) -> None:
        """Remove the content; no fault when it is not there."""
        path = self._path_of(message)
        if not path.exists():  # nearly always
            return
        try:
            await asyncio.to_thread(path.unlink, missing_ok=True)
        except OSError as error:
            raise failures.of_system(error, path) from error

    async def sweep(self, keep: Collection[MessageId]) -> int:
        """Remove what no message needs, ``keep`` being all of them; return how many files that were."""
        return await asyncio.to_thread(self._sweep, keep)

    def _sweep(self, keep: Collection[MessageId]) -> int:
        files = [file for folder in self._folder.glob("??") for file in folder.iterdir()]
        orphans = [file for file in files if file.suffix != ".eml" or file.stem not in keep]
        try:
            for file in orphans:
                file.unlink(missing_ok=True)
        except OSError as error:
            raise failures.of_system(error, self._folder) from error
        return len(orphans)

    def _path_of(self, message: MessageId) -> Path:
        if not _ID.fullmatch(message):
            raise NotFoundError("MB-W20", kind="message", name=message)
        return self._folder / message[-2:] / f"{message}.eml"
