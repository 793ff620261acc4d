"""Keys for other purposes than sealing, such as the hashes of device passwords, and those hashes.

Such a key is derived from the master key when it is first needed and kept sealed from then on, so that a new master key
leaves it as it is: a hash cannot be sealed anew.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable

from mailbearer.model.secret import Secret
from mailbearer.vault.vault import Vault

DEVICE_PASSWORDS = "device-passwords"
PASSWORD_BYTES = 15  # 120 bits: 24 letters and digits in base32, which are hard to misread
_HASH_BYTES = 32


async def lasting_key(vault: Vault, name: str, keep: Callable[[str, bytes], Awaitable[bytes]]) -> bytes:
    """Return the key for the purpose ``name``, the same for ever.

    ``keep`` stores a value under a name unless there is one, and returns what is there (``Meta.put_first``); names that
    begin with ``sealed/`` take part in a change of the master key.

    Raises:
        VaultError: MB-T26, the key that is kept does not open.
    """
    place = f"sealed/{name}"
    fresh = vault.seal(Secret(vault.derive(name).hex()), place=place)
    return bytes.fromhex(vault.open(await keep(place, fresh), place=place).reveal())


def new_password() -> Secret:
    """Return a new password for a device."""
    return Secret(base64.b32encode(secrets.token_bytes(PASSWORD_BYTES)).decode().lower())


def plain_password(typed: Secret) -> Secret:
    """Return a generated password as it is hashed, however it was typed: with the hyphens of the sheet, in capitals."""
    return Secret(typed.reveal().replace("-", "").replace(" ", "").lower())


def grouped(password: Secret) -> str:
    """Return a generated password as it is shown, once: in groups of four."""
    text = password.reveal()
    return "-".join(text[begin : begin + 4] for begin in range(0, len(text), 4))


def keyed_hash(key: bytes, password: Secret) -> bytes:
    """Return what is kept of a generated password: fast to check, of no use without ``key`` (keyed BLAKE2b, RFC 7693).

    Only for passwords that nobody can guess: ``new_password``.
    """
    text = password.reveal().encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, key=key, digest_size=_HASH_BYTES).digest()


def hash_fits(key: bytes, password: Secret, kept: bytes) -> bool:
    """Tell whether ``password`` is the one of which ``kept`` was kept, taking the same time for yes and no."""
    return hmac.compare_digest(keyed_hash(key, password), kept)
