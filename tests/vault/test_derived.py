from collections.abc import Awaitable, Callable
from pathlib import Path

from mailbearer.clock import SystemClock
from mailbearer.model.secret import Secret
from mailbearer.store.store import Store
from mailbearer.vault.derived import DEVICE_PASSWORDS, hash_fits, keyed_hash, lasting_key, new_password
from mailbearer.vault.keys import MasterKey
from mailbearer.vault.vault import Vault

ONE, OTHER = MasterKey(b"1" * 32), MasterKey(b"2" * 32)


def keeping(held: dict[str, bytes]) -> Callable[[str, bytes], Awaitable[bytes]]:
    async def keep(name: str, value: bytes) -> bytes:
        return held.setdefault(name, value)

    return keep


def test_keys_differ_by_purpose_and_by_master_key() -> None:
    keys = {Vault(ONE).derive("a"), Vault(ONE).derive("b"), Vault(OTHER).derive("a"), ONE.reveal()}
    assert len(keys) == 4
    assert Vault(ONE).derive("a") == Vault(ONE).derive("a")
    assert {len(key) for key in keys} == {32}


async def test_a_lasting_key_is_kept_sealed() -> None:
    held: dict[str, bytes] = {}
    key = await lasting_key(Vault(ONE), DEVICE_PASSWORDS, keeping(held))
    assert key == Vault(ONE).derive(DEVICE_PASSWORDS)
    assert key not in held["sealed/device-passwords"]
    assert key.hex().encode() not in held["sealed/device-passwords"]


async def test_a_lasting_key_outlives_a_change_of_the_master_key(tmp_path: Path) -> None:
    store = await Store.open(tmp_path, SystemClock())
    key = await lasting_key(Vault(ONE), DEVICE_PASSWORDS, store.meta.put_first)
    await store.rewrap(Vault(OTHER, (ONE,)).rewrap, check=b"new")
    assert await lasting_key(Vault(OTHER), DEVICE_PASSWORDS, store.meta.put_first) == key
    await store.close()


def test_a_hash_fits_its_password_and_key_only() -> None:
    password = new_password()
    kept = keyed_hash(b"k" * 32, password)
    assert hash_fits(b"k" * 32, password, kept)
    assert not hash_fits(b"K" * 32, password, kept)
    assert not hash_fits(b"k" * 32, Secret(password.reveal().upper()), kept)
    assert not hash_fits(b"k" * 32, password, b"")
    assert not hash_fits(b"k" * 32, Secret("\udcff"), kept)


def test_generated_passwords_have_24_characters_and_never_repeat() -> None:
    passwords = {new_password().reveal() for _ in range(100)}
    assert len(passwords) == 100
    assert {len(password) for password in passwords} == {24}
    assert all(password.isalnum() and password.isascii() and password.islower() for password in passwords)
