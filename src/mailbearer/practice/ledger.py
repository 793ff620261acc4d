"""What the practice provider must remember: permissions with their tokens, device sign-ins, blocked accounts, ports.

Kept in ``practice.json``, written anew with every change before the answer goes out. Of a token only the SHA-256 is
kept.
"""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeGuard, TypeVar

from mailbearer.errors import StoreError
from mailbearer.practice.files import write_file

T = TypeVar("T")

VERSION = 1
USED_REFRESH_TOKENS_MAX = 100  # per grant; an older one is simply unknown
GRANTS_MAX = 10_000  # the oldest is forgotten
DEVICE_SIGN_INS_MAX = 1_000


def digest(token: str) -> str:
    """Return the name under which a token is remembered."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


@dataclass(slots=True)
class RefreshEntry:
    """One refresh token: when it was given out or last used, and when a newer one took its place."""

    used_at: float
    replaced_at: float | None = None


@dataclass(slots=True)
class Permission:
    """One sign-in of one account for one application; all its tokens live and die with it."""

    id: str
    client_id: str
    account: str
    scopes: tuple[str, ...]
    refresh: dict[str, RefreshEntry] = field(default_factory=dict[str, RefreshEntry])  # by digest, oldest first
    access: dict[str, float] = field(default_factory=dict[str, float])  # digest → end


@dataclass(slots=True)
class DeviceSignIn:
    """A device authorization request (RFC 8628). ``account`` is set when allowed; ``denied`` when refused."""

    device_code: str  # digest
    user_code: str
    client_id: str
    scopes: tuple[str, ...]
    expires_at: float
    account: str = ""
    denied: bool = False
    last_poll: float = 0.0
    interval: float = 0.0


class Ledger:
    """The memory of one practice world."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.permissions: dict[str, Permission] = {}
        self.devices: dict[str, DeviceSignIn] = {}  # by digest of the device code
        self.disabled: set[str] = set()
        self.ports: dict[str, int] = {}
        if path.exists():
            self._load()

    def save(self, now: datetime) -> None:
        """Forget what has run out and write the rest, in place of what was written before."""
        self._prune(now.timestamp())
        content = {
            "version": VERSION,
            "ports": self.ports,
            "disabled": sorted(self.disabled),
            "permissions": [_permission_out(one) for one in self.permissions.values()],
            "devices": [_device_out(one) for one in self.devices.values()],
        }
        write_file(self._path, json.dumps(content).encode())

    def _prune(self, now: float) -> None:
        for one in self.permissions.values():
            one.access = {name: end for name, end in one.access.items() if end > now}
            for name in list(one.refresh)[:-USED_REFRESH_TOKENS_MAX]:
                del one.refresh[name]
        self.devices = {name: one for name, one in self.devices.items() if one.expires_at > now}
        _drop_oldest(self.permissions, GRANTS_MAX)
        _drop_oldest(self.devices, DEVICE_SIGN_INS_MAX)

    def _load(self) -> None:
        try:
            content = _object(json.loads(self._path.read_bytes()))
            permissions = [_permission_in(_object(one)) for one in _array(content["permissions"])]
            devices = [_device_in(_object(one)) for one in _array(content["devices"])]
            self.disabled = set(_texts(content["disabled"]))
            self.ports = {name: int(_number(port)) for name, port in _object(content["ports"]).items()}
        except (ValueError, KeyError, OverflowError, RecursionError) as problem:
            raise StoreError("MB-D02", path=str(self._path)) from problem
        self.permissions = {one.id: one for one in permissions}
        self.devices = {one.device_code: one for one in devices}


def _drop_oldest(table: dict[str, T], limit: int) -> None:
    for name in list(table)[: max(0, len(table) - limit)]:
        del table[name]


def _permission_out(one: Permission) -> dict[str, object]:
    return {
        "id": one.id,
        "client_id": one.client_id,
        "account": one.account,
        "scopes": one.scopes,
        "refresh": {name: [entry.used_at, entry.replaced_at] for name, entry in one.refresh.items()},
        "access": one.access,
    }


def _permission_in(value: dict[str, object]) -> Permission:
    return Permission(
        id=_text(value["id"]),
        client_id=_text(value["client_id"]),
        account=_text(value["account"]),
        scopes=_texts(value["scopes"]),
        refresh={name: _refresh_in(_array(entry)) for name, entry in _object(value["refresh"]).items()},
        access={name: _number(end) for name, end in _object(value["access"]).items()},
    )


def _refresh_in(value: list[object]) -> RefreshEntry:
    used_at, replaced_at = value
    return RefreshEntry(_number(used_at), None if replaced_at is None else _number(replaced_at))


def _device_out(one: DeviceSignIn) -> dict[str, object]:
    return {
        "device_code": one.device_code,
        "user_code": one.user_code,
        "client_id": one.client_id,
        "scopes": one.scopes,
        "expires_at": one.expires_at,
        "account": one.account,
        "denied": one.denied,
        "interval": one.interval,
    }


def _device_in(value: dict[str, object]) -> DeviceSignIn:
    return DeviceSignIn(
        device_code=_text(value["device_code"]),
        user_code=_text(value["user_code"]),
        client_id=_text(value["client_id"]),
        scopes=_texts(value["scopes"]),
        expires_at=_number(value["expires_at"]),
        account=_text(value["account"]),
        denied=value["denied"] is True,
        interval=_number(value["interval"]),
    )


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _is_array(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _object(value: object) -> dict[str, object]:
    if not _is_object(value):
        raise ValueError("not an object")
    return value


def _array(value: object) -> list[object]:
    if not _is_array(value):
        raise ValueError("not an array")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004 - the caller reads any ValueError as damage
    return value


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(one) for one in _array(value))


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise ValueError("not a number")  # noqa: TRY004 - the caller reads any ValueError as damage
    return float(value)
