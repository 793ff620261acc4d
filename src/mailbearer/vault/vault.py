"""Sealing: AES-256-GCM with a data key of its own for each secret, bound to the place where it is kept.

A sealed value is ``version (1) | key id (8) | nonce (12) | wrapped data key (48) | nonce (12) | ciphertext and tag``.
The data key is wrapped by the master key, so that a new master key needs no look at any secret; the secret is bound to
its place, such as ``grants/smtp/tokens/7``, so that a value moved to another row does not open there. Sizes and the
96-bit random nonces: NIST SP 800-38D section 8.2.2; a data key is used once, a master key far less than 2^32 times.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mailbearer.errors import VaultError
from mailbearer.model.secret import Secret
from mailbearer.vault.keys import KEY_BYTES, KEY_ID_BYTES, MasterKey

_VERSION = b"\x01"
_NONCE_BYTES = 12
_TAG_BYTES = 16
_KEY_AT = 1
_WRAPPED_AT = _KEY_AT + KEY_ID_BYTES
_SECRET_AT = _WRAPPED_AT + _NONCE_BYTES + KEY_BYTES + _TAG_BYTES
_CHECK_PLACE = "vault/check"


class Vault:
    """Seals with ``master``; opens what ``master`` or one of the ``old`` keys sealed."""

    def __init__(self, master: MasterKey, old: tuple[MasterKey, ...] = ()) -> None:
        self._master = master
        self._keys = {key.id: key for key in (*old, master)}

    @property
    def key_id(self) -> str:
        """The id of the key that seals, for people; it tells nothing about the key."""
        return self._master.id.hex()

    def seal(self, secret: Secret, *, place: str) -> bytes:
        """Return ``secret`` sealed for ``place``; only there it opens again."""
        data_key = os.urandom(KEY_BYTES)
        text = secret.reveal().encode("utf-8", "surrogatepass")
        return _wrap(self._master, data_key) + _encrypt(data_key, text, _secret_context(place))

    def open(self, sealed: bytes, *, place: str) -> Secret:
        """Return the secret that was sealed for ``place``.

        Raises:
            VaultError: MB-T26, it was sealed with another key or for another place, or it was changed.
        """
        data_key = self._unwrap(sealed)
        text = _decrypt(data_key, sealed[_SECRET_AT:], _secret_context(place))
        return Secret(text.decode("utf-8", "surrogatepass"))

    def needs_rotation(self, sealed: bytes) -> bool:
        """Tell whether ``sealed`` was sealed with another key than the one that seals now."""
        return sealed[_KEY_AT:_WRAPPED_AT] != self._master.id

    def rewrap(self, sealed: bytes) -> bytes:
        """Return ``sealed`` under the key that seals now, its secret unopened.

        Raises:
            VaultError: MB-T26, none of the keys sealed it.
        """
        return _wrap(self._master, self._unwrap(sealed)) + sealed[_SECRET_AT:]

    def derive(self, name: str) -> bytes:
        """Return the key for the purpose ``name`` (HKDF with SHA-256, RFC 5869); it tells nothing about other keys.

        Another master key gives another one: ``derived.lasting_key`` is the same for ever.
        """
        context = b"mailbearer derived key" + _VERSION + name.encode()
        return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=context).derive(self._master.reveal())

    def check_value(self) -> bytes:
        """Return a value to be kept with the data, by which ``verify_check`` knows the key again."""
        return self.seal(Secret("mailbearer"), place=_CHECK_PLACE)

    def verify_check(self, value: bytes) -> None:
        """See whether the data with the check value ``value`` belongs to one of the keys.

        Raises:
            VaultError: MB-D08 it belongs to another key; MB-T26 the value was changed.
        """
        wanted = value[_KEY_AT:_WRAPPED_AT]
        if value.startswith(_VERSION) and len(value) >= _SECRET_AT and wanted not in self._keys:
            raise VaultError("MB-D08", path=self._master.source, found=self.key_id, wanted=wanted.hex())
        self.open(value, place=_CHECK_PLACE)

    def _unwrap(self, sealed: bytes) -> bytes:
        key = self._keys.get(sealed[_KEY_AT:_WRAPPED_AT])
        if key is None or not sealed.startswith(_VERSION):
            raise VaultError("MB-T26")
        return _decrypt(key.reveal(), sealed[_WRAPPED_AT:_SECRET_AT], _key_context(key))


def _wrap(master: MasterKey, data_key: bytes) -> bytes:
    return _VERSION + master.id + _encrypt(master.reveal(), data_key, _key_context(master))


def _key_context(key: MasterKey) -> bytes:
    return b"mailbearer data key" + _VERSION + key.id


def _secret_context(place: str) -> bytes:
    return b"mailbearer secret" + _VERSION + place.encode()


def _encrypt(key: bytes, text: bytes, context: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, text, context)


def _decrypt(key: bytes, sealed: bytes, context: bytes) -> bytes:
    if len(sealed) < _NONCE_BYTES + _TAG_BYTES:
        raise VaultError("MB-T26")
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
    except InvalidTag as error:
        raise VaultError("MB-T26") from error
