"""What is promised to survive does: kill -9, a full disk, a quota, a read-only folder, two processes at once."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from mailbearer.clock import SystemClock
from mailbearer.model.message import MessageId, MessageState
from mailbearer.store.rows import execute
from mailbearer.store.store import Store
from tests.store.samples import SMTP, grant
from tests.store.victim import parts_of

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount and change users")


def start(what: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.victim", what, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )


def lines_of(process: subprocess.Popen[str]) -> list[str]:
    said, _ = process.communicate(timeout=60)
    return said.splitlines()


def killed_after(process: subprocess.Popen[str], lines: int) -> list[str]:
    """Kill the process (SIGKILL) when it has said ``lines`` lines; return all whole lines that it said."""
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    said += process.stdout.readlines()
    process.wait()
    process.stdout.close()
    return [line.strip() for line in said if line.endswith("\n")]


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
async def test_everything_accepted_outlives_kill_9(tmp_path: Path) -> None:
    confirmed: list[str] = []
    for round_number in range(8):
        process = start("accept", tmp_path)
        confirmed += await asyncio.to_thread(killed_after, process, 1 + round_number * 37)
    store = await Store.open(tmp_path, SystemClock())
    assert await store.database.read(lambda connection: execute(connection, "PRAGMA integrity_check")) == [("ok",)]
    assert await store.messages.ids() >= set(confirmed)
    for found in await store.messages.list(limit=100_000):  # and what has a row has its content
        if found.state is not MessageState.ACCEPTED:
            chunks = (await store.bodies.find(found.id)).chunks()
            assert b"".join([chunk async for chunk in chunks]) == b"".join(parts_of(found.id))
    assert len(confirmed) > 8 * 7 / 2 * 37
    await store.close()


@pytest.mark.slow
@needs_root
@pytest.mark.parametrize("size", ["24m", "50m", "120m"])
async def test_a_full_disk_refuses_mail_and_keeps_what_it_took(tmp_path: Path, size: str) -> None:
    with small_disk(tmp_path / "disk", size) as folder:
        said = await asyncio.to_thread(lambda: lines_of(start("crowd", folder / "store")))
        assert said == [*["refused MB-S25"] * 3, "kept what was confirmed True", "again ", "done"]


@pytest.mark.slow
async def test_a_renewed_token_outlives_kill_9_before_its_commit(tmp_path: Path) -> None:
    store = await Store.open(tmp_path, SystemClock())
    await store.grants.insert(grant(sealed=b"old"))
    foreign = apsw.Connection(str(tmp_path / "mailbearer.db"))
    execute(foreign, "BEGIN IMMEDIATE")
    said = await asyncio.to_thread(killed_after, start("keep", tmp_path), 1)
    execute(foreign, "ROLLBACK")
    foreign.close()
    assert said == ["kept"]
    held = await store.grants.get(SMTP)
    assert held is not None
    assert held.sealed == b"old"
    (left,) = await store.journal.recover()
    assert (left.service, left.version, left.sealed) == (SMTP, 1, b"renewed")
    assert await store.grants.replace(grant(2, sealed=left.sealed), expected_version=left.version)
    await store.journal.clear(left.slot)
    assert await store.journal.recover() == []
    await store.close()


@pytest.mark.slow
async def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    processes = [start("count", tmp_path) for _ in range(3)]
    said = await asyncio.gather(*(asyncio.to_thread(lines_of, process) for process in processes))
    assert said == [["done"]] * 3
    store = await Store.open(tmp_path, SystemClock())
    counted = await store.database.read(lambda connection: execute(connection, "SELECT count(*) FROM meta"))
    assert counted == [(600,)]
    await store.close()


@pytest.mark.slow
@needs_root
async def test_a_full_disk_refuses_keeps_and_goes_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "12m") as folder:
        said = await asyncio.to_thread(lambda: lines_of(start("fill", folder / "store")))
        assert said == [
            "message refused MB-S25",
            "row refused MB-S25",
            "token kept",
            "renewed True",
            "done",
        ]
        store = await Store.open(folder / "store", SystemClock())
        assert await store.grants.get(SMTP) == grant(2, sealed=b"renewed")
        chunks = (await store.bodies.find(MessageId("after"))).chunks()
        assert b"".join([chunk async for chunk in chunks]) == b"there is room again"
        await store.close()


@pytest.mark.slow
async def test_a_quota_refuses_in_good_order(tmp_path: Path) -> None:
    said = await asyncio.to_thread(lambda: lines_of(start("limit", tmp_path)))
    assert said[:2] == ["message refused MB-S25", "row refused MB-S25"]
    accepted = int(said[2].removeprefix("accepted "))
    assert accepted > 10
    store = await Store.open(tmp_path, SystemClock())
    counted = await store.database.read(lambda connection: execute(connection, "SELECT count(*) FROM meta"))
    assert counted == [(accepted,)]
    await store.close()


@pytest.mark.slow
@needs_root
async def test_a_folder_that_may_not_be_written_is_read_only(tmp_path: Path) -> None:
    folder = Path("/tmp") / f"mailbearer-{os.getpid()}-{threading.get_native_id()}"  # nobody may enter tmp_path
    try:
        await (await Store.open(folder, SystemClock())).close()
        before = sorted((file.name, file.read_bytes()) for file in folder.iterdir())
        folder.chmod(0o755)
        assert await asyncio.to_thread(lambda: lines_of(start("look", folder))) == ["MB-D06"]
        assert sorted((file.name, file.read_bytes()) for file in folder.iterdir()) == before
    finally:
        shutil.rmtree(folder)


@pytest.mark.slow
@needs_root
async def test_a_read_only_disk_is_read_only(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "12m") as folder:
        await (await Store.open(folder / "store", SystemClock())).close()
        await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,ro", str(folder)], check=True)
        with pytest.raises(Exception, match="MB-D06"):
            await Store.open(folder / "store", SystemClock())
