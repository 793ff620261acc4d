import asyncio
import os
import sqlite3
from pathlib import Path

import apsw
import pytest

from mailbearer.errors import ConflictError, DiskFullError, StoreError
from mailbearer.store.database import Database
from mailbearer.store.rows import change, execute, pragma, select

STEPS = ("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL CHECK (text <> 'bad')) STRICT",)


def add(connection: apsw.Connection, text: str) -> int:
    return change(connection, "INSERT INTO notes (text) VALUES (?)", (text,))


def notes(connection: apsw.Connection) -> list[str]:
    return [row.text() for row in select(connection, "SELECT text FROM notes ORDER BY id")]


def modes_in(folder: Path) -> dict[str, str]:
    return {file.name: oct(file.stat().st_mode & 0o777) for file in folder.iterdir()}


async def opened(path: Path, *, alone: bool = True) -> Database:
    return await Database.open(path / "mailbearer.db", alone=alone, steps=STEPS)


async def test_what_was_written_is_read_by_everybody(tmp_path: Path) -> None:
    one, other = await opened(tmp_path), await opened(tmp_path, alone=False)
    await one.write(lambda connection: add(connection, "hello"))
    assert await one.read(notes) == await other.read(notes) == ["hello"]
    await one.close()
    await other.close()


async def test_it_is_there_after_reopening(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    await database.write(lambda connection: add(connection, "hello"))
    await database.close()
    database = await opened(tmp_path)
    assert await database.read(notes) == ["hello"]
    await database.close()


async def test_one_that_fails_does_not_hurt_its_neighbours(tmp_path: Path) -> None:
    database = await opened(tmp_path)

    def fail(connection: apsw.Connection) -> int:
        add(connection, "half of it")
        raise ConflictError("MB-W06")

    works = [lambda connection: add(connection, "one"), fail, lambda connection: add(connection, "two")]
    outcomes = await asyncio.gather(*map(database.write, works), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int, ConflictError, int]
    assert await database.read(notes) == ["one", "two"]
    await database.close()


async def test_a_mistake_in_our_own_sql_is_not_called_a_disk_error(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    with pytest.raises(apsw.SQLError):
        await database.write(lambda connection: execute(connection, "SELEKT"))
    with pytest.raises(apsw.ConstraintError):
        await database.write(lambda connection: add(connection, "bad"))
    with pytest.raises(apsw.SQLError):
        await database.read(lambda connection: execute(connection, "SELEKT"))
    await database.close()


async def test_work_that_ends_its_own_transaction_fails_and_leaves_the_writer_usable(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    for work in (lambda connection: execute(connection, "ROLLBACK"), lambda connection: execute(connection, "COMMIT")):
        with pytest.raises(apsw.SQLError):
            await database.write(work)
    await database.write(lambda connection: add(connection, "still here"))
    assert await database.read(notes) == ["still here"]
    await database.close()


async def test_fifty_writers_share_few_commits(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    threads = set[str]()

    def write(connection: apsw.Connection) -> None:
        threads.add(str(execute(connection, "SELECT count(*) FROM notes")[0][0]))
        add(connection, "hello")

    await asyncio.gather(*(database.write(write) for _ in range(50)))
    wal = await asyncio.to_thread((tmp_path / "mailbearer.db-wal").stat)
    assert len(threads) == 50  # each saw what the one before it wrote
    assert wal.st_size < 20 * 4096  # fifty commits of their own would take a hundred pages and more
    await database.close()


async def test_what_finds_no_room_does_not_hurt_what_does(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    await database.write(lambda connection: pragma(connection, "max_page_count", 10) and None)
    sizes = (10, 1_000_000, 20)
    outcomes = await asyncio.gather(
        *(database.write(lambda connection, size=size: add(connection, "x" * size)) for size in sizes),  # type: ignore[misc]
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [int, DiskFullError, int]
    assert [len(text) for text in await database.read(notes)] == [10, 20]
    await database.close()


async def test_work_that_ends_the_transaction_and_then_fails_spoils_the_batch_only(tmp_path: Path) -> None:
    database = await opened(tmp_path)

    def spoil(connection: apsw.Connection) -> None:
        execute(connection, "ROLLBACK")
        raise ConflictError("MB-W06")

    works = [lambda connection: add(connection, "one"), spoil]
    outcomes = await asyncio.gather(*map(database.write, works), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConflictError, ConflictError]
    assert await database.read(notes) == []
    await database.write(lambda connection: add(connection, "two"))
    assert await database.read(notes) == ["two"]
    await database.close()


async def test_the_reader_cannot_write(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    with pytest.raises(StoreError, match="MB-D06"):
        await database.read(lambda connection: add(connection, "hello"))
    await database.close()


async def test_every_commit_is_synced_and_checked(tmp_path: Path) -> None:
    database = await opened(tmp_path)

    def settings(connection: apsw.Connection) -> dict[str, str]:
        names = ("synchronous", "journal_mode", "foreign_keys", "secure_delete", "trusted_schema")
        return {name: str(execute(connection, f"PRAGMA {name}")[0][0]) for name in names}

    assert await database.write(settings) == {
        "synchronous": "2",
        "journal_mode": "wal",
        "foreign_keys": "1",
        "secure_delete": "1",
        "trusted_schema": "0",
    }
    await database.close()


async def test_the_files_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        database = await opened(tmp_path)
        await database.write(lambda connection: add(connection, "hello"))
        modes = modes_in(tmp_path)
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("mailbearer.db", "mailbearer.db-wal", "mailbearer.db-shm"), "0o600")
    await database.close()


async def test_a_caller_that_is_cancelled_leaves_the_others_alone(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    async with asyncio.TaskGroup() as group:
        impatient = group.create_task(database.write(lambda connection: add(connection, "one")))
        patient = group.create_task(database.write(lambda connection: add(connection, "two")))
        await asyncio.sleep(0)
        impatient.cancel()
    assert patient.result() == 1
    assert await database.read(notes) == ["one", "two"]
    await database.close()


async def test_closing_finishes_what_was_asked_and_may_be_repeated(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    async with asyncio.TaskGroup() as group:
        last = group.create_task(database.write(lambda connection: add(connection, "last")))
        await asyncio.sleep(0)
        await database.close()
    assert last.result() == 1
    await database.close()
    with pytest.raises(StoreError, match="MB-D01"):
        await database.read(notes)


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mailbearer.db"
    path.write_bytes(b"something of somebody else " * 400)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="MB-D02"):
        await opened(tmp_path)
    assert path.read_bytes() == before


async def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mailbearer.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (id)")
    other.close()
    with pytest.raises(StoreError, match="MB-D02"):
        await opened(tmp_path)


async def test_a_damaged_page_is_found_after_an_unclean_end(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    await database.write(lambda connection: [add(connection, f"{number} " * 200) for number in range(50)])
    await database.close()
    path = tmp_path / "mailbearer.db"
    octets = bytearray(path.read_bytes())
    octets[8192:12288] = b"\xff" * 4096
    path.write_bytes(octets)
    (tmp_path / "mailbearer.db-wal").write_bytes(b"left behind")
    with pytest.raises(StoreError, match="MB-D02"):
        await opened(tmp_path)
    assert path.read_bytes() == octets


async def test_damage_that_is_met_while_reading_is_named(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    await database.write(lambda connection: [add(connection, f"{number} " * 200) for number in range(50)])
    await database.close()
    path = tmp_path / "mailbearer.db"
    octets = bytearray(path.read_bytes())
    octets[8192:12288] = b"\xff" * 4096
    path.write_bytes(octets)
    database = await opened(tmp_path)
    with pytest.raises(StoreError, match="MB-D02"):
        await database.read(notes)
    await database.close()


async def test_a_folder_in_the_place_of_the_database_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "mailbearer.db").mkdir()
    with pytest.raises(StoreError, match="MB-D0"):
        await opened(tmp_path)


async def test_a_missing_folder_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="MB-D01"):
        await opened(tmp_path / "none")


async def test_a_database_that_stays_locked_is_in_use(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    await database.write(lambda connection: pragma(connection, "busy_timeout", 50) and None)
    foreign = apsw.Connection(str(tmp_path / "mailbearer.db"))
    execute(foreign, "BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="MB-D04"):
        await database.write(lambda connection: add(connection, "hello"))
    foreign.close()
    await database.write(lambda connection: add(connection, "hello"))
    assert await database.read(notes) == ["hello"]
    await database.close()


async def test_a_loop_that_is_gone_does_not_trouble_the_threads(tmp_path: Path) -> None:
    def abandon() -> None:
        async def leave() -> None:
            database = await opened(tmp_path)
            database._writer._inbox.put([])
            asyncio.get_running_loop().call_soon(lambda: None)
            task = asyncio.ensure_future(database.write(lambda connection: add(connection, "alone")))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()

        asyncio.run(leave())

    await asyncio.to_thread(abandon)
    database = await opened(tmp_path, alone=False)
    assert await database.read(notes) in ([], ["alone"])
    await database.close()
