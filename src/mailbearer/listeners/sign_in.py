"""The server's side of PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login-00): a name and a password."""

from dataclasses import dataclass, field
from typing import Final

from mailbearer.model.secret import Secret
from mailbearer.protocol.smtp.server_events import Challenge

MECHANISMS: Final = ("PLAIN", "LOGIN")

CREDENTIAL_MAX: Final = 255
"""Octets of a name or a password; what is longer belongs to nobody."""

_USER_NAME: Final = Challenge(b"Username:")  # devices wait for exactly these words: VXNlcm5hbWU6, UGFzc3dvcmQ6
_PASSWORD: Final = Challenge(b"Password:")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the device showed."""

    user: str
    password: Secret = field(repr=False)


class SignIn:
    """One sign-in. ``respond`` takes what the device gives, None when it has not given anything yet."""

    __slots__ = ("_mechanism", "_user")

    def __init__(self, mechanism: str) -> None:
        self._mechanism = mechanism
        self._user: bytes | None = None

    def respond(self, data: bytes | None) -> Challenge | Credentials | None:
        """Return what comes next: a challenge or the credentials; None when ``data`` cannot be."""
        if self._mechanism == "PLAIN":
            return Challenge(b"") if data is None else _plain(data)
        if data is None:
            return _USER_NAME
        if self._user is None:
            self._user = data
            return _PASSWORD
        return _credentials(self._user, data)


def _plain(data: bytes) -> Credentials | None:
    parts = data.split(b"\0")
    if len(parts) != 3 or (parts[0] and parts[0] != parts[1]):  # to act for another is not offered
        return None
    return _credentials(parts[1], parts[2])


def _credentials(user: bytes, password: bytes) -> Credentials | None:
    user = user.rstrip(b"\0\r\n")  # some devices encode the end of their C string too
    password = password.rstrip(b"\0\r\n")
    if not user or len(user) > CREDENTIAL_MAX or len(password) > CREDENTIAL_MAX or b"\0" in user + password:
        return None
    return Credentials(user.decode(errors="replace"), Secret(password.decode(errors="replace")))
