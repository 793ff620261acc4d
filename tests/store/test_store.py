from pathlib import Path

import pytest

from mailbearer.clock import SystemClock
from mailbearer.errors import StoreError
from mailbearer.model.provider import Registration
from mailbearer.model.service import Service, SmtpSettings
from mailbearer.store.folder import DataFolder
from mailbearer.store.store import VAULT_CHECK, Store
from tests.store.samples import MINUTE, NOW, SMTP, grant, message, pending


async def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    for opening in range(3):
        store = await Store.open(tmp_path, SystemClock())
        if not opening:
            await store.grants.insert(grant())
            await store.messages.add(message())
        assert await store.grants.get(SMTP) == grant()
        assert await store.messages.list() == (message(),)
        await store.close()
        await store.close()


async def test_several_may_have_it_open(store: Store, tmp_path: Path) -> None:
    other = await Store.open(tmp_path / "store", SystemClock())
    await store.grants.insert(grant())
    assert await other.grants.get(SMTP) == grant()
    await other.close()
    assert await store.grants.get(SMTP) == grant()


async def test_who_opens_it_alone_ends_the_leases_of_the_dead(tmp_path: Path) -> None:
    dead = await Store.open(tmp_path, SystemClock())
    await dead.grants.insert(grant())
    await dead.pendings.begin(pending())
    await dead.messages.add(message())
    until = NOW + 60 * MINUTE

    async def claim_all(store: Store) -> list[bool]:
        got = [
            await store.grants.lease(SMTP, "owner", until=until, now=NOW),
            await store.pendings.lease(SMTP, "owner", until=until, now=NOW),
            *(await store.messages.claim_due(now=NOW, owner="owner", lease_until=until, limit=1) or [None]),
        ]
        return [each is not None for each in got]

    assert await claim_all(dead) == [True] * 3
    second = await Store.open(tmp_path, SystemClock())
    assert await claim_all(second) == [False] * 3
    await dead.close()
    await second.close()
    third = await Store.open(tmp_path, SystemClock())
    assert (dead.opened_alone, second.opened_alone, third.opened_alone) == (True, False, True)
    assert await claim_all(third) == [True] * 3
    await third.close()


async def test_nobody_can_be_alone_while_it_is_open(store: Store, tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "store")
    with folder.use_lock() as lock:
        assert not lock.take(shared=False)
        await store.close()
        assert lock.take(shared=False)


async def test_who_wants_to_be_alone_is_told_whether_he_is(store: Store, tmp_path: Path) -> None:
    other = await Store.open(tmp_path / "store", SystemClock())
    assert not other.take_alone()
    with DataFolder(tmp_path / "store").use_lock() as lock:
        await store.close()
        assert not lock.take(shared=False)  # the other one still has its share
    assert other.take_alone()
    with DataFolder(tmp_path / "store").use_lock() as lock:
        assert not lock.take(shared=True)
    await other.close()


async def test_a_store_that_cannot_be_opened_lets_go_of_its_lock(tmp_path: Path) -> None:
    (tmp_path / "mailbearer.db").write_bytes(b"no database at all " * 100)
    with pytest.raises(StoreError, match="MB-D02"):
        await Store.open(tmp_path, SystemClock())
    with DataFolder(tmp_path).use_lock() as lock:
        assert lock.take(shared=False)


async def test_opening_after_a_use_makes_no_journal_and_no_key(store: Store) -> None:
    assert not store.folder.journal.exists()
    assert not store.folder.key.exists()


async def test_a_store_in_which_nothing_was_sealed_says_so(store: Store) -> None:
    assert not await store.is_sealed()
    await store.meta.put(VAULT_CHECK, b"check")
    assert await store.is_sealed()


async def fill(store: Store) -> None:
    service = Service(SMTP, "SMTP", (), SmtpSettings())
    await store.services.put(service, expected_version=0, sealed_password=b"password")
    await store.registrations.put(Registration("google"), expected_version=0, sealed_secret=b"secret")
    await store.registrations.put(Registration("yahoo"), expected_version=0, sealed_secret=None)
    await store.grants.insert(grant(sealed=b"tokens"))
    await store.pendings.begin(pending())
    await store.meta.put(VAULT_CHECK, b"old")


async def sealed_values(store: Store) -> list[bytes | None]:
    held, under_way = await store.grants.get(SMTP), await store.pendings.get(SMTP)
    assert held is not None
    assert under_way is not None
    kept = [await store.services.sealed_password(SMTP), await store.registrations.sealed_secret("google")]
    return [*kept, held.sealed, under_way.sealed, await store.meta.get(VAULT_CHECK)]


async def test_every_sealed_value_is_rewrapped(store: Store) -> None:
    await fill(store)
    assert await store.rewrap(lambda sealed: b"new " + sealed, check=b"new") == 4
    assert await sealed_values(store) == [b"new password", b"new secret", b"new tokens", b"new codes", b"new"]


async def test_rewrapping_is_done_wholly_or_not_at_all(store: Store) -> None:
    await fill(store)

    def fail_late(sealed: bytes) -> bytes:
        if sealed == b"codes":
            raise StoreError("MB-D05")
        return b"new " + sealed

    with pytest.raises(StoreError, match="MB-D05"):
        await store.rewrap(fail_late, check=b"new")
    assert await sealed_values(store) == [b"password", b"secret", b"tokens", b"codes", b"old"]


async def test_every_blob_column_but_meta_is_known_to_rewrapping(store: Store) -> None:
    from mailbearer.store.rows import execute
    from mailbearer.store.store import _SEALED_COLUMNS

    sql = """SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c
        WHERE m.type = 'table' AND c.type = 'BLOB'
            AND m.name NOT IN ('meta', 'bodies', 'credentials')"""  # neither mail nor hashes are sealed
    found = await store.database.read(lambda connection: execute(connection, sql))
    assert sorted(found) == sorted((table, column) for table, _, column in _SEALED_COLUMNS)
