"""Master keys: where they come from, and how the first one is made.

A key is 32 random bytes. Written down it is their base64 text; the bytes themselves are understood too, because
``systemd-creds`` and key servers like to hand out those.
"""

import base64
import binascii
import hashlib
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Self

from mailbearer.errors import VaultError

KEY_BYTES = 32
KEY_ID_BYTES = 8
ENVIRONMENT_NAME = "MAILBEARER_KEY"
CREDENTIAL_NAME = "mailbearer-key"
COMMAND_PATIENCE_SECONDS = 30.0
_TEXT_MAX = 1024  # more than any form of a key; who names a wrong file does not get it all read


class KeySource(StrEnum):
    """Where the master key comes from."""

    FILE = "file"
    CREDENTIAL = "credential"  # systemd: LoadCredential, LoadCredentialEncrypted
    ENV = "env"
    COMMAND = "command"


class MasterKey:
    """A key that never prints itself. ``id`` names it without telling anything, ``source`` says where it was found."""

    __slots__ = ("_octets", "id", "source")

    def __init__(self, octets: bytes, source: str = "") -> None:
        self._octets = octets
        self.id = hashlib.sha256(b"mailbearer key id" + octets).digest()[:KEY_ID_BYTES]
        self.source = source

    @classmethod
    def generate(cls, source: str = "") -> Self:
        """Return a new random key."""
        return cls(secrets.token_bytes(KEY_BYTES), source)

    @classmethod
    def read(cls, written: bytes, source: str = "") -> Self:
        """Return the key that is ``written`` as base64 text or as the bytes themselves.

        Raises:
            VaultError: MB-T25, it is no key.
        """
        if len(written) == KEY_BYTES:
            return cls(written, source)
        try:
            octets = base64.b64decode(written.strip(), validate=True)
        except binascii.Error as error:
            raise _unusable(source, "it is no base64 text") from error
        if len(octets) != KEY_BYTES:
            raise _unusable(source, f"it has {len(octets)} bytes instead of {KEY_BYTES}")
        return cls(octets, source)

    def reveal(self) -> bytes:
        """Return the key itself; called only in this room."""
        return self._octets

    def written(self) -> bytes:
        """Return the key as it is written down."""
        return base64.b64encode(self._octets) + b"\n"

    def __repr__(self) -> str:
        return f"MasterKey({self.id.hex()})"


def load_key(
    source: KeySource,
    path: Path,
    *,
    command: Sequence[str] = (),
    create: bool = False,
    environment: Mapping[str, str] | None = None,
) -> MasterKey:
    """Return the master key from ``source``; ``path`` is the key file, ``command`` the program and its arguments.

    ``create`` allows a missing key *file* to be made, and is given only while nothing was ever sealed.

    Raises:
        VaultError: MB-T25 there is no key, or it is none; MB-D07 others may read the file.
    """
    variables = os.environ if environment is None else environment
    match source:
        case KeySource.FILE:
            return _from_file(path, create=create)
        case KeySource.CREDENTIAL:
            return _from_credential(variables.get("CREDENTIALS_DIRECTORY", ""))
        case KeySource.ENV:
            return _from_environment(variables.get(ENVIRONMENT_NAME, ""))
        case KeySource.COMMAND:
            return _from_command(command)


def _from_file(path: Path, *, create: bool) -> MasterKey:
    if create and not path.exists():
        _make_file(path)
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise VaultError("MB-D07", path=str(path))
            return MasterKey.read(file.read(_TEXT_MAX), str(path))
    except OSError as error:
        raise _unusable(str(path), error.strerror or str(error)) from error


def _make_file(path: Path) -> None:
    """Write a new key to ``path``: whole or not at all, and never over one that is there."""
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(MasterKey.generate().written())
            file.flush()
            os.fsync(descriptor)
        _link(unfinished, path)
    except OSError as error:
        raise _unusable(str(path), error.strerror or str(error)) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _link(unfinished: Path, path: Path) -> None:
    try:
        path.hardlink_to(unfinished)
    except FileExistsError:  # another process was faster: its key is the key
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _from_credential(folder: str) -> MasterKey:
    if not folder:
        raise _unusable(CREDENTIAL_NAME, "systemd passed no credentials")
    path = Path(folder) / CREDENTIAL_NAME
    try:
        with path.open("rb") as file:
            return MasterKey.read(file.read(_TEXT_MAX), str(path))
    except OSError as error:
        raise _unusable(str(path), error.strerror or str(error)) from error


def _from_environment(value: str) -> MasterKey:
    if not value:
        raise _unusable(ENVIRONMENT_NAME, "the variable is not set")
    return MasterKey.read(value.encode("utf-8", "replace"), ENVIRONMENT_NAME)


def _from_command(command: Sequence[str]) -> MasterKey:
    if not command:
        raise _unusable("command", "no command is set")
    try:
        ran = subprocess.run(  # noqa: S603 - the administrator's own command, without a shell
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_PATIENCE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _unusable(command[0], "it could not be run to its end") from error
    if ran.returncode:
        raise _unusable(command[0], f"it ended with status {ran.returncode}")
    return MasterKey.read(ran.stdout[:_TEXT_MAX], command[0])


def _unusable(source: str, reason: str) -> VaultError:
    return VaultError("MB-T25", path=source, reason=reason)
