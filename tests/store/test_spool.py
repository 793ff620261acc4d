import asyncio
import os
from pathlib import Path

import pytest

from mailbearer.clock import SystemClock
from mailbearer.errors import DiskFullError, NotFoundError, StoreError
from mailbearer.model.message import MessageId
from mailbearer.store.spool import CHUNK_BYTES, ORPHAN_GRACE_SECONDS, Room, Spool
from tests.fakes.clock import FakeClock

ID = MessageId("20261102-a7b")


def files_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*") if file.is_file())


async def stored(spool: Spool, content: bytes, name: MessageId = ID) -> None:
    async with spool.writer(name) as writer:
        writer.write(content)


async def content_of(spool: Spool, name: MessageId = ID) -> bytes:
    return b"".join([chunk async for chunk in spool.open(name)])


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", FakeClock())


async def test_a_content_comes_back_whole(spool: Spool, tmp_path: Path) -> None:
    whole = os.urandom(CHUNK_BYTES * 3 + 17)
    async with spool.writer(ID) as writer:
        for start in range(0, len(whole), 100_000):
            writer.write(whole[start : start + 100_000])
    assert writer.size == len(whole)
    chunks = [chunk async for chunk in spool.open(ID)]
    assert b"".join(chunks) == whole
    assert max(map(len, chunks)) <= CHUNK_BYTES
    path = tmp_path / "spool" / "7b" / f"{ID}.eml"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_nobody_sees_half_a_content(spool: Spool, tmp_path: Path) -> None:
    async with spool.writer(ID) as writer:
        writer.write(b"half")
        assert files_in(tmp_path) == [f"{ID}.tmp"]
        with pytest.raises(StoreError, match="MB-D05"):
            await content_of(spool)
    assert files_in(tmp_path) == [f"{ID}.eml"]


async def test_an_error_within_leaves_nothing(spool: Spool, tmp_path: Path) -> None:
    async def fail() -> None:
        async with spool.writer(ID) as writer:
            writer.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert files_in(tmp_path) == []


async def test_a_cancelled_writer_leaves_nothing(spool: Spool, tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def write() -> None:
        async with spool.writer(ID) as writer:
            writer.write(b"half")
            begun.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(write())
        await begun.wait()
        task.cancel()
    assert files_in(tmp_path) == []


async def test_what_was_removed_is_gone(spool: Spool, tmp_path: Path) -> None:
    await stored(spool, b"hello")
    await spool.remove(ID)
    await spool.remove(ID)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("name", ["", "x", "../../etc/passwd", "a/b", "a" * 101, "ü" * 5, "a\0b"])
async def test_a_name_that_is_none_of_ours_never_reaches_the_disk(spool: Spool, name: str) -> None:
    with pytest.raises(NotFoundError, match="MB-W20"):
        spool.writer(MessageId(name))
    with pytest.raises(NotFoundError, match="MB-W20"):
        await content_of(spool, MessageId(name))
    with pytest.raises(NotFoundError, match="MB-W20"):
        await spool.remove(MessageId(name))


async def test_two_writers_of_one_name_are_kept_apart(spool: Spool) -> None:
    async with spool.writer(ID) as writer:
        writer.write(b"first")
        with pytest.raises(StoreError):
            await stored(spool, b"second")
    assert await content_of(spool) == b"first"


async def test_a_writer_that_was_not_entered_writes_nothing(spool: Spool) -> None:
    with pytest.raises(StoreError, match="MB-D01"):
        spool.writer(ID).write(b"hello")


async def test_the_reserve_is_never_touched(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", FakeClock(), room=lambda _: Room(free=105_000_000, total=10**12))
    async with spool.writer(ID, expected_size=5_000_000) as writer:
        writer.write(b"fits")
    with pytest.raises(DiskFullError) as caught:
        await spool.writer(MessageId("other"), expected_size=5_000_001).__aenter__()
    assert caught.value.fields["free"] == "105 MB"
    assert files_in(tmp_path) == [f"{ID}.eml"]


async def test_on_a_small_disk_the_reserve_is_a_twentieth(tmp_path: Path) -> None:
    def room(free: int) -> Spool:
        return Spool(tmp_path / "spool", FakeClock(), room=lambda _: Room(free, 200_000_000))

    await stored(room(10_000_000), b"fits")
    with pytest.raises(DiskFullError):
        await stored(room(9_999_999), b"does not", MessageId("other"))


async def test_the_reserve_can_be_chosen(tmp_path: Path) -> None:
    await stored(Spool(tmp_path / "spool", FakeClock(), reserve=0, room=lambda _: Room(0, 10**12)), b"fits")


async def test_a_message_that_grows_into_the_reserve_is_given_up(tmp_path: Path) -> None:
    free = [200_000_000]
    spool = Spool(tmp_path / "spool", FakeClock(), room=lambda _: Room(free[0], 10**12))

    async def grow() -> None:
        async with spool.writer(ID) as writer:
            free[0] = 99_999_999
            for _ in range(32):
                writer.write(bytes(1024 * 1024))

    with pytest.raises(DiskFullError):
        await grow()
    assert files_in(tmp_path) == []


async def test_an_orphan_goes_after_an_hour_and_the_needed_stay(tmp_path: Path) -> None:
    clock = FakeClock()
    spool = Spool(tmp_path / "spool", clock)
    await stored(spool, b"needed")
    await stored(spool, b"orphan", MessageId("orphan"))
    (tmp_path / "spool" / "7b" / "left-a7b.tmp").write_bytes(b"half of what a dead process had")
    assert await spool.sweep({ID}) == 0
    await clock.advance(ORPHAN_GRACE_SECONDS - 1)
    assert await spool.sweep({ID}) == 0
    await clock.advance(1)
    assert await spool.sweep({ID}) == 2
    assert files_in(tmp_path) == [f"{ID}.eml"]


async def test_no_jump_of_the_clock_makes_a_file_old(tmp_path: Path) -> None:
    clock = FakeClock()
    spool = Spool(tmp_path / "spool", clock)
    await stored(spool, b"its row is about to be committed")
    os.utime(tmp_path / "spool" / "7b" / f"{ID}.eml", (0, 0))
    await spool.sweep(set())
    clock.jump(days=20_000)
    assert await spool.sweep(set()) == 0


async def test_an_orphan_that_got_its_row_begins_anew(tmp_path: Path) -> None:
    clock = FakeClock()
    spool = Spool(tmp_path / "spool", clock)
    await stored(spool, b"hello")
    await spool.sweep(set())
    await spool.sweep({ID})
    await clock.advance(ORPHAN_GRACE_SECONDS)
    assert await spool.sweep(set()) == 0


async def test_what_another_process_still_writes_is_not_swept(tmp_path: Path) -> None:
    clock = FakeClock()
    writing, sweeping = Spool(tmp_path / "spool", SystemClock()), Spool(tmp_path / "spool", clock)
    async with writing.writer(ID) as writer:
        writer.write(b"slow")
        await sweeping.sweep(set())
        await clock.advance(ORPHAN_GRACE_SECONDS)
        assert await sweeping.sweep(set()) == 0
    assert await content_of(writing) == b"slow"
