"""The master key of a data folder: opening its vault, and a new key such that a crash at any step loses nothing."""

from dataclasses import dataclass
from pathlib import Path

from mailbearer.errors import ConflictError, VaultError
from mailbearer.store.store import VAULT_CHECK, Store
from mailbearer.vault import rotation
from mailbearer.vault.keys import KeySource, MasterKey, load_key
from mailbearer.vault.vault import Vault


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """Where the master key comes from; ``command`` prints it where the source is a command."""

    source: KeySource
    path: Path
    command: tuple[str, ...] = ()


async def open_vault(store: Store, place: KeyPlace) -> Vault:
    """Return the vault of this folder; a key is made only where nothing was ever sealed.

    Raises:
        VaultError: the key is missing (MB-T25), readable by others (MB-D07) or not the one of this data (MB-D08).
    """
    check = await store.meta.get(VAULT_CHECK)
    if check is not None and place.source is KeySource.FILE:
        rotated = rotation.recovered(place.path, lambda key: _fits(key, check))
        if rotated is not None:
            return Vault(rotated)
    vault = Vault(load_key(place.source, place.path, command=place.command, create=check is None))
    vault.verify_check(await store.meta.put_first(VAULT_CHECK, vault.check_value()))
    return vault


async def rotate(store: Store, place: KeyPlace) -> tuple[int, str]:
    """Seal everything with a new key; return how many secrets that were, and the id of the key.

    Raises:
        ConflictError: MB-W35, another process has the store open; MB-W36, the key is not ours to change.
    """
    if place.source is not KeySource.FILE:
        raise ConflictError("MB-W36", source=place.source)
    if not store.take_alone():
        raise ConflictError("MB-W35")
    new = rotation.begin(place.path)
    vault = Vault(new, (load_key(KeySource.FILE, place.path),))
    count = await store.rewrap(vault.rewrap, check=vault.check_value())
    rotation.finish(place.path)
    return count, vault.key_id


def _fits(key: MasterKey, check: bytes) -> bool:
    try:
        Vault(key).verify_check(check)
    except VaultError:
        return False
    return True
