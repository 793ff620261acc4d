"""The mailboxes: one folder for each account, one file for each message, named by its unique identifier."""

import itertools
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from mailbearer.clock import Clock
from mailbearer.practice.options import check_account

CHUNK: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """One message in a mailbox; ``uidl`` is its unique identifier (RFC 1939 section 7)."""

    uidl: str
    size: int
    path: Path

    def chunks(self) -> Iterator[bytes]:
        """Read the message piece by piece."""
        with self.path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def top(self, lines: int) -> Iterator[bytes]:
        """Read the header, the empty line and so many lines of the body (RFC 1939 section 7)."""
        with self.path.open("rb") as file:
            for line in file:
                yield line
                if line == b"\r\n":
                    break
            yield from itertools.islice(file, lines)


class Incoming:
    """A message on its way in; ends with ``deliver`` or ``discard``."""

    def __init__(self, boxes: "Mailboxes", path: Path) -> None:
        self._boxes = boxes
        self._path = path
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def write(self, chunk: bytes) -> None:
        """Add a piece, lines ending with CR LF."""
        self._file.write(chunk)

    def deliver(self, accounts: Iterable[str]) -> None:
        """Put the message into the mailbox of each account."""
        self._file.close()
        for account in dict.fromkeys(accounts):
            os.link(self._path, self._boxes.new_path(account))
        self._path.unlink()

    def discard(self) -> None:
        """Forget the message."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class Mailboxes:
    """All mailboxes of one practice world."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._count = itertools.count()
        self._incoming = folder / ".incoming"
        for one in (folder, self._incoming):
            one.mkdir(mode=0o700, exist_ok=True)
        for left_over in self._incoming.iterdir():
            left_over.unlink()

    def begin(self, *, sender: str, protocol: str) -> Incoming:
        """Begin a message that ``sender`` gives us by ``protocol``; its trace lines are written already."""
        incoming = Incoming(self, self._incoming / secrets.token_hex(8))
        date = format_datetime(self._clock.now())
        trace = f"Return-Path: <{sender}>\r\nReceived: by localhost with {protocol}; {date}\r\n"
        incoming.write(trace.encode())
        return incoming

    def put(self, account: str, content: bytes) -> None:
        """Put a message straight into a mailbox."""
        incoming = Incoming(self, self._incoming / secrets.token_hex(8))
        incoming.write(content)
        incoming.deliver([account])

    def listing(self, account: str) -> tuple[Stored, ...]:
        """Return the messages of ``account``, oldest first."""
        folder = self._box(account)
        if not folder.is_dir():
            return ()
        return tuple(Stored(path.stem, path.stat().st_size, path) for path in sorted(folder.glob("*.eml")))

    def new_path(self, account: str) -> Path:
        """Return where the next message of ``account`` goes."""
        folder = self._box(account)
        folder.mkdir(mode=0o700, exist_ok=True)
        moment = int(self._clock.now().timestamp() * 1_000_000)
        return folder / f"{moment:014x}-{next(self._count):06x}-{secrets.token_hex(4)}.eml"

    def _box(self, account: str) -> Path:
        return self._folder / check_account(account)  # a checked one is a safe name of a folder
