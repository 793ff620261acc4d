"""Watched folders: a file that a scanner saves by SMB or FTP becomes a message with the file attached.

A file counts as complete when its size and times have not changed for a while and nobody has it open for writing. It is
queued first, durably, and then moved to ``sent``; a message that a kill left between the two is known again by its
Message-ID, which is made of what the file is, so nothing is lost and nothing sent twice.
"""

import asyncio
import hashlib
import logging
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

from mailbearer.clock import Clock
from mailbearer.errors import InvalidInputError, MailbearerError, StoreError
from mailbearer.model.device import DeviceId
from mailbearer.model.envelope import Envelope, domain_of
from mailbearer.model.service import ServiceId, SmtpSettings
from mailbearer.sending.compose import SUBJECT_MAX, Letter, Mailbox, compose
from mailbearer.sending.intake import Intake
from mailbearer.store.folder import sync_folder
from mailbearer.store.store import Store

LOOK_SECONDS: Final = 2.0
PAUSE_SECONDS: Final = 60.0
"""After a trouble of the folder, the disk or the settings."""

FILES_MAX: Final = 1_000
"""Files that are looked at in one round; the others have their turn in the next."""

REMEMBERED_MAX: Final = 10_000
SENT: Final = "sent"
FAILED: Final = "failed"
PARTIAL: Final = (".part", ".partial", ".filepart", ".crdownload", ".tmp", ".temp", ".swp", ".upload")
_CHUNK: Final = 256 * 1024
_PROC: Final = Path("/proc")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Watch:
    """The settings of one folder; ``{name}`` in subject and text is the name of the file, ``settle`` is in seconds."""

    folder: Path
    service: ServiceId
    to: tuple[str, ...]
    subject: str = "{name}"
    text: str = ""
    settle: float = 10.0


@dataclass(frozen=True, slots=True)
class State:
    """What a file was when it was looked at; while this is the same it is the same file with the same content."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, found: os.stat_result) -> "State":
        """Return what ``found`` tells."""
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class WatchedFolder:
    """Sends what is saved in one folder; ``wake`` calls the courier."""

    def __init__(
        self, watch: Watch, store: Store, intake: Intake, clock: Clock, *, wake: Callable[[ServiceId], None]
    ) -> None:
        self._watch = watch
        self._store = store
        self._intake = intake
        self._clock = clock
        self._wake = wake
        self._seen: dict[str, tuple[State, float]] = {}
        self._marks: set[str] | None = None
        self._later: dict[str, float] = {}
        self._trouble = ""

    async def run(self) -> None:
        """Look and send until cancelled."""
        while True:
            pause = LOOK_SECONDS
            try:
                await self.look()
                self._trouble = ""
            except (MailbearerError, OSError) as error:
                pause = PAUSE_SECONDS
                self._tell(error)
            await self._clock.sleep(pause)

    async def look(self) -> int:
        """Send what is complete; return how many files that were.

        Raises:
            StoreError: MB-D01 the folder or ``sent`` in it cannot be used, or the queue cannot.
        """
        watch = self._watch
        states = await asyncio.to_thread(_files_in, watch.folder)
        now = self._clock.monotonic()
        self._seen = {
            name: (state, self._seen[name][1] if name in self._seen and self._seen[name][0] == state else now)
            for name, state in states.items()
        }
        ripe = [name for name, (_, since) in self._seen.items() if now - since >= watch.settle]
        if not ripe:
            return 0
        in_use = await asyncio.to_thread(files_being_written)
        sent = 0
        for name in ripe:
            state = self._seen[name][0]
            if (state.device, state.inode) not in in_use and self._later.get(name, now) <= now:
                sent += await self._try(name, state)
        self._later = {name: at for name, at in self._later.items() if name in self._seen}
        return sent

    async def _try(self, name: str, state: State) -> bool:
        """Send a file; one that cannot be sent is told, and does not keep the others waiting."""
        path = self._watch.folder / name
        try:
            return await self._send(path, state)
        except InvalidInputError as error:
            _log.error("watched folder: %s is not sent: %s", path, error)
            self._later[name] = self._clock.monotonic() + PAUSE_SECONDS
            if error.code == "MB-S19":  # it never will be
                await asyncio.to_thread(_move, path, self._watch.folder / FAILED, state)
            return False

    async def _send(self, path: Path, state: State) -> bool:
        """Queue a file and move it; tell whether it went."""
        mark = mark_of(path, state)
        if mark not in await self._known() and not await self._queue(path, state, mark):
            return False
        await asyncio.to_thread(_move, path, self._watch.folder / SENT, state)
        return True

    async def _queue(self, path: Path, state: State, mark: str) -> bool:
        """Put the message into the queue; False when the file changed while it was read."""
        sender = await self._sender()
        message_id = f"<{mark}.folder.mailbearer@{domain_of(sender.address) or 'mailbearer.invalid'}>"
        shown = printable_name(path.name)
        letter = Letter(
            sender,
            tuple(Mailbox("", address) for address in self._watch.to),
            subject=self._watch.subject.replace("{name}", shown)[:SUBJECT_MAX],
            body=self._watch.text.replace("{name}", shown),
            files=(path,),
        )
        with tempfile.TemporaryFile(dir=self._store.folder.path) as content:
            now = self._clock.now()
            if not await asyncio.to_thread(_composed, letter, content, state, now=now, message_id=message_id):
                return False
            marks = await self._known()
            self._marks = None  # until it is known what became of the commit
            acceptance = self._intake.begin(
                self._watch.service, device=device_of(self._watch.folder), size_hint=content.seek(0, os.SEEK_END)
            )
            try:
                async for chunk in _chunks(content):
                    acceptance.write(chunk)
                    if acceptance.congested:
                        await acceptance.drain()
                await acceptance.commit(Envelope(sender.address, self._watch.to))
            finally:
                await acceptance.abort()
            self._marks = marks | {mark}
        self._wake(self._watch.service)
        return True

    async def _sender(self) -> Mailbox:
        settings = (await self._store.services.get(self._watch.service)).settings
        if not isinstance(settings, SmtpSettings) or not settings.sender_address:
            raise StoreError("MB-G10", folder=self._watch.folder, reason=f"{self._watch.service} has no Sender Address")
        return Mailbox(settings.sender_name, settings.sender_address)

    async def _known(self) -> set[str]:
        """Return the marks of files of this folder that are in the queue or were."""
        if self._marks is None:
            device = DeviceId(device_of(self._watch.folder))
            messages = await self._store.messages.of_device(device, limit=REMEMBERED_MAX)
            self._marks = {message.message_id.strip("<>").partition(".")[0] for message in messages}
        return self._marks

    def _tell(self, error: MailbearerError | OSError) -> None:
        told = f"{error} {error.hint}" if isinstance(error, MailbearerError) else f"{self._watch.folder}: {error}"
        if told != self._trouble:
            self._trouble = told
            _log.error("watched folder: %s", told)


def device_of(folder: Path) -> str:
    """Return the name under which the messages of a watched folder stand in the queue."""
    return f"folder:{printable_name(str(folder))}"


def mark_of(path: Path, state: State) -> str:
    """Return what tells this content of this file from all others: so has a new one of the same name.

    The time of change is part of it: a file that somebody moves back from ``sent`` is to be sent once more.
    """
    told = f"{state.inode} {state.size} {state.modified} {state.changed}".encode()
    return hashlib.blake2b(os.fsencode(path) + b"\0" + told, digest_size=16).hexdigest()


def printable_name(name: str) -> str:
    """Return a name of any bytes as text that can be shown."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "�" for char in text)


def files_being_written() -> set[tuple[int, int]]:
    """Return device and inode of files that other processes have open for writing, as far as /proc tells us."""
    found: set[tuple[int, int]] = set()
    own = str(os.getpid())
    for process in _entries(_PROC):
        if not process.name.isdigit() or process.name == own:
            continue
        for descriptor in _entries(Path(process.path) / "fd"):
            try:
                if descriptor.stat(follow_symlinks=False).st_mode & stat.S_IWUSR:  # proc(5): how it was opened
                    target = descriptor.stat()
                    found.add((target.st_dev, target.st_ino))
            except OSError:
                continue
    return found


def _entries(folder: Path) -> "Iterator[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:  # it has ended, or is another user's
        return


def _files_in(folder: Path) -> dict[str, State]:
    """Return the files that may be scans, oldest first; make ``sent`` and see whether files can go there."""
    try:
        (folder / SENT).mkdir(exist_ok=True)
        with os.scandir(folder) as entries:
            found = [(each.name, State.of(each.stat(follow_symlinks=False))) for each in entries if _may_be_scan(each)]
    except OSError as error:
        raise StoreError("MB-G10", folder=folder, reason=error.strerror or "unusable") from error
    if not (os.access(folder, os.R_OK | os.W_OK | os.X_OK) and os.access(folder / SENT, os.W_OK | os.X_OK)):
        raise StoreError("MB-G10", folder=folder, reason="files cannot be moved to sent in it")
    filled = sorted((each for each in found if each[1].size), key=lambda each: each[1].modified)
    return dict(filled[:FILES_MAX])


def _may_be_scan(entry: "os.DirEntry[str]") -> bool:
    name = entry.name.lower()
    hidden = name.startswith((".", "~")) or name.endswith(PARTIAL)
    return not hidden and entry.is_file(follow_symlinks=False)


def _composed(letter: Letter, content: BinaryIO, state: State, *, now: datetime, message_id: str) -> bool:
    """Write the message; tell whether the file was the same all the time."""
    (path,) = letter.files
    try:
        if State.of(path.lstat()) != state:
            return False
        compose(letter, content, now=now, message_id=message_id)
        return State.of(path.lstat()) == state
    except FileNotFoundError:  # somebody took it away
        return False


def _move(path: Path, folder: Path, state: State) -> None:
    """Move a file unless it became another one meanwhile; nothing that is in ``folder`` is overwritten."""
    try:
        folder.mkdir(exist_ok=True)
        found = path.lstat()
        if State.of(found) != state:
            return
        target = _free_name(folder, path.name)
        path.rename(target)
        sync_folder(folder)
        sync_folder(path.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError("MB-G10", folder=folder, reason=error.strerror or "unusable") from error


def _free_name(folder: Path, name: str) -> Path:
    """Return the name in ``folder``, with a number before its ending if it is taken; nobody else puts files there."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - Path takes a name such as "a." apart differently
    number, target = 1, folder / name
    while os.path.lexists(target):
        number += 1
        target = folder / f"{stem} ({number}){suffix}"
    return target


async def _chunks(content: BinaryIO) -> AsyncIterator[bytes]:
    content.seek(0)
    while chunk := await asyncio.to_thread(content.read, _CHUNK):
        yield chunk
