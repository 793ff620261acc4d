"""Watched folders over a real store and real files."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import DiskFullError, StoreError
from mailbearer.model.device import DeviceId
from mailbearer.model.message import QueuedMessage
from mailbearer.model.service import Service, ServiceId, SmtpSettings
from mailbearer.sending.intake import Acceptance, Intake
from mailbearer.sending.watch import (
    LOOK_SECONDS,
    State,
    Watch,
    WatchedFolder,
    device_of,
    files_being_written,
    mark_of,
    printable_name,
)
from mailbearer.store.store import Store
from tests.fakes.clock import FakeClock

SMTP = Service(ServiceId("smtp"), "SMTP", (), SmtpSettings(sender_address="scan@clinic.example"))
SETTLE = 10.0
KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from mailbearer.clock import SystemClock
from mailbearer.model.service import ServiceId
from mailbearer.sending import watch
from mailbearer.sending.intake import Intake
from mailbearer.store.store import Store

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    clock = SystemClock()
    store = await Store.open(Path(sys.argv[1]), clock)
    settings = watch.Watch(Path(sys.argv[2]), ServiceId("smtp"), ("ada@x.example",), settle=0.0)
    watched = watch.WatchedFolder(settings, store, Intake(store, clock), clock, wake=die)
    await watched.look()

asyncio.run(main())
"""


@dataclass
class Place:
    store: Store
    clock: FakeClock
    folder: Path
    woken: int = 0

    def watched(self, **changes: object) -> WatchedFolder:
        watch = Watch(self.folder, SMTP.id, ("ada@x.example",), subject="Scan {name}", settle=SETTLE)
        watch = replace(watch, **changes)  # type: ignore[arg-type]
        return WatchedFolder(watch, self.store, Intake(self.store, self.clock), self.clock, wake=self.wake)

    def wake(self, service: ServiceId) -> None:
        assert service == SMTP.id
        self.woken += 1

    async def settled(self, watched: WatchedFolder) -> int:
        """Look, let the files settle, look again."""
        await watched.look()
        await self.clock.advance(SETTLE)
        return await watched.look()

    async def queued(self) -> tuple[QueuedMessage, ...]:
        return await self.store.messages.of_device(DeviceId(device_of(self.folder)))

    async def content(self, message: QueuedMessage) -> bytes:
        return b"".join([chunk async for chunk in (await self.store.bodies.find(message.id)).chunks()])

    def names(self, inside: str = "") -> set[bytes]:
        where = self.folder / inside
        return {os.fsencode(each.name) for each in where.iterdir() if each.is_file()} if where.exists() else set()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    clock = FakeClock()
    store = await Store.open(tmp_path / "data", clock)
    await store.services.put(SMTP, expected_version=0, sealed_password=None)
    folder = tmp_path / "scans"
    folder.mkdir()
    yield Place(store, clock, folder)
    await store.close()


@contextmanager
def holding(path: Path, mode: str) -> Iterator[None]:
    """Have another process hold a file open."""
    program = "import sys; f = open(sys.argv[1], sys.argv[2]); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program, path, mode], stdin=-1, stdout=-1) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield
        holder.communicate()


def killed(data: Path, folder: Path) -> int:
    """Look in a process that is killed between queue and move."""
    return subprocess.run([sys.executable, "-c", KILLED, data, folder], check=False, timeout=30).returncode


async def test_a_file_that_is_complete_becomes_a_message_and_moves(place: Place) -> None:
    (place.folder / "scan.pdf").write_bytes(b"%PDF-1.7 hello")
    assert await place.settled(place.watched()) == 1
    (message,) = await place.queued()
    assert (message.subject, message.envelope.recipients) == ("Scan scan.pdf", ("ada@x.example",))
    assert message.envelope.reverse_path == "scan@clinic.example"
    content = await place.content(message)
    assert b"JVBERi0xLjcgaGVsbG8=" in content
    assert b'filename="scan.pdf"' in content
    assert (place.names(), place.names("sent"), place.woken) == (set(), {b"scan.pdf"}, 1)


async def test_a_file_that_grows_is_left_alone(place: Place) -> None:
    watched = place.watched()
    for size in range(1, 6):
        (place.folder / "scan.pdf").write_bytes(b"x" * size)
        await watched.look()
        await place.clock.advance(SETTLE - 1)
        assert await watched.look() == 0
    await place.clock.advance(SETTLE)
    assert await watched.look() == 1


async def test_a_file_that_somebody_has_open_for_writing_is_left_alone(place: Place) -> None:
    path = place.folder / "scan.pdf"
    path.write_bytes(b"half")
    with holding(path, "ab"):
        watched = place.watched()
        assert await place.settled(watched) == 0
    assert await watched.look() == 1


async def test_a_reader_keeps_nothing_back(place: Place) -> None:
    path = place.folder / "scan.pdf"
    path.write_bytes(b"whole")
    with holding(path, "rb"):
        found = path.stat()
        assert (found.st_dev, found.st_ino) not in files_being_written()


@pytest.mark.parametrize("name", [".hidden", "~lock", "scan.pdf.part", "scan.TMP", "a.filepart"])
async def test_what_is_on_its_way_by_its_name_is_left_alone(place: Place, name: str) -> None:
    (place.folder / name).write_bytes(b"x")
    assert await place.settled(place.watched()) == 0


async def test_empty_files_folders_links_and_pipes_are_left_alone(place: Place, tmp_path: Path) -> None:
    (place.folder / "empty").write_bytes(b"")
    (place.folder / "deeper").mkdir()
    (tmp_path / "secret").write_bytes(b"not yours")
    (place.folder / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(place.folder / "pipe")
    assert await place.settled(place.watched()) == 0
    assert await place.queued() == ()


@pytest.mark.parametrize(
    "name", [b"Sc\xe4n 1.pdf", "Übersicht.pdf".encode(), b"line\nbreak.pdf", b"=?utf-8?q?x?=", b"a" * 255, b'"quo".tif']
)
async def test_names_of_any_bytes_are_sent_and_kept(place: Place, name: bytes) -> None:
    (place.folder / os.fsdecode(name)).write_bytes(b"x")
    assert await place.settled(place.watched(text="Attached: {name}")) == 1
    assert place.names("sent") == {name}
    content = await place.content((await place.queued())[0])
    assert b"\nbreak" not in content.partition(b"\r\n\r\n")[0]


@given(st.binary(min_size=1, max_size=60))
def test_any_name_can_be_shown(name: bytes) -> None:
    assert printable_name(os.fsdecode(name)).isprintable()


async def test_nothing_in_sent_is_overwritten(place: Place) -> None:
    watched = place.watched()
    for content in (b"one", b"two", b"three"):
        (place.folder / "scan.pdf").write_bytes(content)
        assert await place.settled(watched) == 1
    assert place.names("sent") == {b"scan.pdf", b"scan (2).pdf", b"scan (3).pdf"}
    assert (place.folder / "sent/scan (3).pdf").read_bytes() == b"three"
    assert len(await place.queued()) == 3


async def test_a_kill_between_queue_and_move_sends_nothing_twice(place: Place) -> None:
    (place.folder / "scan.pdf").write_bytes(b"x")
    await place.store.close()
    assert killed(place.store.folder.path, place.folder) == -signal.SIGKILL
    assert place.names() == {b"scan.pdf"}
    place.store = await Store.open(place.store.folder.path, place.clock)
    assert len(await place.queued()) == 1
    assert await place.settled(place.watched()) == 1
    assert len(await place.queued()) == 1
    assert place.names("sent") == {b"scan.pdf"}
    await place.store.close()


async def test_a_full_disk_loses_nothing(place: Place) -> None:
    (place.folder / "scan.pdf").write_bytes(b"x")
    watched = place.watched()

    class Full(Intake):
        def begin(self, *_: object, **__: object) -> Acceptance:
            raise DiskFullError

    usual, watched._intake = watched._intake, Full(place.store, place.clock)
    with pytest.raises(DiskFullError):
        await place.settled(watched)
    assert (place.names(), await place.queued()) == ({b"scan.pdf"}, ())
    watched._intake = usual
    assert await watched.look() == 1


async def test_what_is_too_large_is_put_aside_and_the_others_go(place: Place) -> None:
    (place.folder / "big.pdf").write_bytes(b"x" * 5_000)
    (place.folder / "small.pdf").write_bytes(b"x")
    watched = place.watched()
    watched._intake = Intake(place.store, place.clock, size_max=2_000)
    assert await place.settled(watched) == 1
    assert (place.names("failed"), place.names("sent")) == ({b"big.pdf"}, {b"small.pdf"})


async def test_without_a_sender_files_stay_and_go_later(place: Place) -> None:
    (place.folder / "scan.pdf").write_bytes(b"x")
    service = await place.store.services.get(SMTP.id)
    bare = await place.store.services.put(
        replace(service, settings=SmtpSettings()), expected_version=service.version, sealed_password=None
    )
    watched = place.watched()
    with pytest.raises(StoreError, match="cannot be watched"):
        await place.settled(watched)
    again = replace(bare, settings=SMTP.settings)
    await place.store.services.put(again, expected_version=bare.version, sealed_password=None)
    assert await watched.look() == 1


async def test_a_folder_that_is_not_there_is_told_and_watched_once_it_is(place: Place) -> None:
    place.folder.rmdir()
    watched = place.watched(settle=0.0)
    with pytest.raises(StoreError, match="cannot be watched"):
        await watched.look()
    place.folder.mkdir()
    (place.folder / "scan.pdf").write_bytes(b"x")
    assert await watched.look() == 1


async def test_a_file_moved_back_is_sent_once_more(place: Place) -> None:
    (place.folder / "scan.pdf").write_bytes(b"x")
    watched = place.watched()
    await place.settled(watched)
    (place.folder / "sent/scan.pdf").rename(place.folder / "scan.pdf")
    assert await place.settled(watched) == 1
    assert len(await place.queued()) == 2


async def test_it_looks_by_itself_and_goes_on_after_a_trouble(place: Place) -> None:
    import asyncio

    place.folder.rmdir()
    watched = place.watched(settle=0.0)
    running = asyncio.ensure_future(watched.run())
    await place.clock.until_asleep(1)
    place.folder.mkdir()
    (place.folder / "scan.pdf").write_bytes(b"x")
    await place.clock.advance(60 + LOOK_SECONDS)
    await place.clock.until(lambda: place.names("sent") == {b"scan.pdf"})
    running.cancel()
    await asyncio.wait([running])


def test_a_mark_tells_contents_apart() -> None:
    state = State(1, 2, 3, 4, 5)
    marks = {
        mark_of(path, each)
        for path in (Path("/a"), Path("/b"))
        for each in (state, replace(state, size=9), replace(state, modified=9), replace(state, inode=9))
    }
    assert len(marks) == 8
