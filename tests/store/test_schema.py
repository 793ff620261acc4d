import re
from pathlib import Path

import apsw
import pytest

from mailbearer.errors import StoreError
from mailbearer.store import schema
from mailbearer.store.database import Database
from mailbearer.store.rows import change, execute, select

FIRST = "CREATE TABLE notes (text TEXT NOT NULL); CREATE INDEX by_text ON notes (text);"
SECOND = "ALTER TABLE notes ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'; UPDATE notes SET colour = 'blue';"


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def open_at(path: Path, *steps: str, alone: bool = True) -> Database:
    return await Database.open(path / "mailbearer.db", alone=alone, steps=steps)


async def with_one_note(path: Path) -> None:
    database = await open_at(path, FIRST)
    await database.write(lambda connection: change(connection, "INSERT INTO notes (text) VALUES ('kept')"))
    await database.close()


def notes(connection: apsw.Connection) -> list[tuple[str, str]]:
    return [(row.text(), row.text()) for row in select(connection, "SELECT text, colour FROM notes")]


async def test_a_new_database_takes_every_step(tmp_path: Path) -> None:
    database = await open_at(tmp_path, FIRST, SECOND)
    assert await database.read(lambda connection: schema.check_version(connection, tmp_path, 2)) == 2
    assert names_in(tmp_path) == ["mailbearer.db", "mailbearer.db-shm", "mailbearer.db-wal"]
    await database.close()


async def test_an_older_one_takes_what_it_lacks_and_keeps_what_it_has(tmp_path: Path) -> None:
    await with_one_note(tmp_path)
    database = await open_at(tmp_path, FIRST, SECOND)
    assert await database.read(notes) == [("kept", "blue")]
    await database.close()


async def test_a_copy_is_kept_from_before_the_migration(tmp_path: Path) -> None:
    await with_one_note(tmp_path)
    await (await open_at(tmp_path, FIRST, SECOND)).close()
    copy = tmp_path / "mailbearer-schema-1.db"
    assert copy.stat().st_mode & 0o777 == 0o600
    before = apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READONLY)
    assert execute(before, "SELECT * FROM notes") == [("kept",)]
    before.close()
    assert "mailbearer-schema-1.tmp" not in names_in(tmp_path)


async def test_a_step_that_fails_changes_nothing(tmp_path: Path) -> None:
    await with_one_note(tmp_path)
    broken = "ALTER TABLE notes ADD COLUMN shape TEXT; INSERT INTO nowhere VALUES (1);"
    with pytest.raises(apsw.SQLError):
        await open_at(tmp_path, FIRST, SECOND, broken)
    database = await open_at(tmp_path, FIRST, SECOND)
    assert await database.read(notes) == [("kept", "blue")]
    await database.close()


async def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    await (await open_at(tmp_path, FIRST, SECOND)).close()
    before = (tmp_path / "mailbearer.db").read_bytes()
    with pytest.raises(StoreError) as caught:
        await open_at(tmp_path, FIRST)
    assert caught.value.code == "MB-D03"
    assert (caught.value.fields["found"], caught.value.fields["here"]) == (2, 1)
    assert (tmp_path / "mailbearer.db").read_bytes() == before


async def test_nobody_migrates_while_others_are_in(tmp_path: Path) -> None:
    await with_one_note(tmp_path)
    with pytest.raises(StoreError, match="MB-D04"):
        await open_at(tmp_path, FIRST, SECOND, alone=False)


async def test_a_copy_that_cannot_be_made_stops_the_migration(tmp_path: Path) -> None:
    await with_one_note(tmp_path)
    (tmp_path / "mailbearer-schema-1.tmp").mkdir()
    with pytest.raises(StoreError):
        await open_at(tmp_path, FIRST, SECOND)
    database = await open_at(tmp_path, FIRST)
    assert await database.read(lambda connection: execute(connection, "SELECT * FROM notes")) == [("kept",)]
    await database.close()


async def test_a_program_that_migrated_meanwhile_is_noticed(tmp_path: Path) -> None:
    old = await open_at(tmp_path, FIRST)
    await old.check_version()
    await (await open_at(tmp_path, FIRST, SECOND)).close()
    with pytest.raises(StoreError, match="MB-D03"):
        await old.check_version()
    await old.close()


def test_the_steps_that_were_released_are_all_there() -> None:
    assert [re.findall(r"CREATE (?:TABLE|VIEW) (\w+)", step)[0] for step in schema.load_steps()] == [
        "meta",
        "bodies",
        "sent",
        "acceptances",
    ]
