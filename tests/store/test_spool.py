"""What an earlier version accepted is read and used up."""

import os
from pathlib import Path

import pytest

from mailbearer.errors import NotFoundError, StoreError
from mailbearer.model.message import MessageId
from mailbearer.store.spool import CHUNK_BYTES, Spool

ID = MessageId("20261102-a7b")


def files_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*") if file.is_file())


def stored(folder: Path, content: bytes, name: str = f"{ID}.eml") -> None:
    """Put a file where the earlier version put it."""
    place = folder / "spool" / name.partition(".")[0][-2:]
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(content)


async def content_of(spool: Spool, name: MessageId = ID) -> bytes:
    return b"".join([chunk async for chunk in spool.open(name)])


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


async def test_a_content_comes_back_whole(spool: Spool, tmp_path: Path) -> None:
    whole = os.urandom(CHUNK_BYTES * 3 + 17)
    stored(tmp_path, whole)
    chunks = [chunk async for chunk in spool.open(ID)]
    assert b"".join(chunks) == whole
    assert max(map(len, chunks)) <= CHUNK_BYTES


async def test_what_is_not_there_is_an_error_of_ours(spool: Spool) -> None:
    with pytest.raises(StoreError, match="MB-D05"):
        await content_of(spool)


async def test_what_was_removed_is_gone(spool: Spool, tmp_path: Path) -> None:
    stored(tmp_path, b"hello")
    await spool.remove(ID)
    await spool.remove(ID)
    assert files_in(tmp_path) == []


async def test_what_cannot_be_removed_is_an_error_of_ours(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "spool" / "7b" / f"{ID}.eml").mkdir(parents=True)
    with pytest.raises(StoreError, match="MB-D01"):
        await spool.remove(ID)
    with pytest.raises(StoreError, match="MB-D01"):
        await spool.sweep(())


@pytest.mark.parametrize("name", ["", "x", "../../etc/passwd", "a/b", "a" * 101, "ü" * 5, "a\0b"])
async def test_a_name_that_is_none_of_ours_never_reaches_the_disk(spool: Spool, name: str) -> None:
    with pytest.raises(NotFoundError, match="MB-W20"):
        await content_of(spool, MessageId(name))
    with pytest.raises(NotFoundError, match="MB-W20"):
        await spool.remove(MessageId(name))


async def test_orphans_go_and_the_needed_stay(spool: Spool, tmp_path: Path) -> None:
    assert await spool.sweep({ID}) == 0
    stored(tmp_path, b"needed")
    stored(tmp_path, b"orphan", "orphan.eml")
    stored(tmp_path, b"half of what a dead process had", "left-a7b.tmp")
    assert await spool.sweep({ID}) == 2
    assert files_in(tmp_path) == [f"{ID}.eml"]
