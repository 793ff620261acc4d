"""Deeds on devices: add, list, show, set, reset, remove, history. Passwords are shown once, when they are made."""

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mailbearer.admin import fields
from mailbearer.admin.device_fields import DEVICE_FIELDS, check
from mailbearer.admin.doors import CHOSEN, Door, sheet
from mailbearer.admin.jobs import job_views
from mailbearer.admin.speech import Json, Who
from mailbearer.admin.views import time_text
from mailbearer.clock import Clock
from mailbearer.errors import InvalidInputError
from mailbearer.model.device import Credential, CredentialKind, Device, DeviceId
from mailbearer.model.secret import Secret
from mailbearer.model.service import AuthMethod, ServiceId, SmtpSettings
from mailbearer.store.store import Store
from mailbearer.vault.derived import DEVICE_PASSWORDS, grouped, keyed_hash, lasting_key, new_password
from mailbearer.vault.passwords import PasswordHashing
from mailbearer.vault.vault import Vault

CHOSEN_MIN = 12  # characters of a password that a person chose: NIST SP 800-63B asks for 8, without limits to guessing
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?")
_KIND = "small letters, digits, hyphens, dots and underlines, at most 40"


@dataclass(frozen=True, slots=True)
class DeviceWays:
    """What the desk needs besides the store; ``doors`` are the listeners as mailbearer.toml names them."""

    vault: Vault
    hashing: PasswordHashing
    doors: Callable[[], tuple[Door, ...]]


class DeviceDesk:
    """The devices. Every change is checked as a whole before one bit of it is stored."""

    def __init__(self, store: Store, ways: DeviceWays, clock: Clock) -> None:
        self._store = store
        self._vault = ways.vault
        self._hashing = ways.hashing
        self._doors = ways.doors
        self._clock = clock

    async def overview(self) -> dict[str, Json]:
        """Return all devices."""
        return {"devices": [await self._view(each) for each in await self._store.devices.all()]}

    async def show(self, identity: str) -> dict[str, Json]:
        """Return one device and what to type into it, without its password."""
        device = await self._get(identity)
        return {**await self._view(device), "sheet": await self._sheet(device, "")}

    async def add(self, identity: str, values: Mapping[str, str], password: str, *, who: Who) -> dict[str, Json]:
        """Add a device and return what to type into it, its password included.

        Raises:
            ConflictError: MB-W21, there is one of that name.
            InvalidInputError: a field or value cannot be.
        """
        if not _NAME.fullmatch(identity):
            raise InvalidInputError("MB-W05", field="Name", problem=f"“{identity}” is not {_KIND}")
        device = Device(DeviceId(identity), identity, ServiceId("smtp"))
        device = fields.apply(DEVICE_FIELDS, device, values, kind=f"Device {identity}")
        await self._check(device)
        made = None if device.by_address and not password else await self._made(device, password)
        device = await self._store.devices.put(device, expected_version=0)
        if made is not None:
            await self._store.devices.add_credential(made[0])
        await self._audit(who, "device add", device, _difference(None, device))
        return {**await self._view(device), "sheet": await self._sheet(device, made[1] if made else "")}

    async def set(self, identity: str, values: Mapping[str, str], *, who: Who) -> dict[str, Json]:
        """Change fields of a device and return it as it is now."""
        before = await self._get(identity)
        after = fields.apply(DEVICE_FIELDS, before, values, kind=f"Device {identity}")
        await self._check(after)
        stored = await self._store.devices.put(after, expected_version=before.version)
        await self._audit(who, "device set", stored, _difference(before, stored))
        return {**await self._view(stored), "sheet": await self._sheet(stored, "")}

    async def reset(self, identity: str, password: str, *, at_once: bool, who: Who) -> dict[str, Json]:
        """Give a device a new password; the one that it uses goes on working until ``finish``, unless ``at_once``."""
        device = await self._get(identity)
        held = await self._store.devices.credentials_of(device.id)
        credential, shown = await self._made(device, password)
        in_use = None if at_once or not held else max(held, key=_used)
        await self._store.devices.add_credential(credential)
        for each in held:
            if each is not in_use:
                await self._store.devices.remove_credential(each.id)
        await self._audit(who, "device reset", device, "at once" if at_once else "")
        return {**await self._view(device), "sheet": await self._sheet(device, shown)}

    async def finish(self, identity: str, *, who: Who) -> dict[str, Json]:
        """Take away every password of a device but the newest."""
        device = await self._get(identity)
        for each in (await self._store.devices.credentials_of(device.id))[:-1]:
            await self._store.devices.remove_credential(each.id)
        await self._audit(who, "device reset", device, "old password removed")
        return await self._view(device)

    async def remove(self, identity: str, *, who: Who) -> dict[str, Json]:
        """Remove a device with its passwords; what it sent stays in the queue."""
        device = await self._get(identity)
        await self._store.devices.remove(device.id)
        await self._audit(who, "device remove", device, "")
        return {}

    async def history(self, identity: str, *, limit: int) -> dict[str, Json]:
        """Return what a device sent, newest first; also of one that was removed."""
        messages = await self._store.messages.of_device(DeviceId(identity), limit=limit)
        if not messages:
            await self._get(identity)
        return {"messages": list[Json](await job_views(self._store, messages))}

    async def _get(self, identity: str) -> Device:
        return await self._store.devices.get(DeviceId(identity))

    async def _check(self, device: Device) -> None:
        check(device)
        service = await self._store.services.get(device.service)
        if not isinstance(service.settings, SmtpSettings):
            raise InvalidInputError("MB-W05", field="Service", problem=f"{device.service} does not send")
        if not device.by_address:
            return
        for other in await self._store.devices.all():
            if other.by_address and other.id != device.id and set(other.networks) & set(device.networks):
                problem = f"{', '.join(set(other.networks) & set(device.networks))} is {other.id} already"
                raise InvalidInputError("MB-W05", field="Allowed from", problem=problem)

    async def _made(self, device: Device, chosen: str) -> tuple[Credential, str]:
        """Return a new credential, and its password as it is shown: a generated one unless one was ``chosen``."""
        now = self._clock.now()
        identity = secrets.token_hex(8)
        if chosen:
            password = _chosen(chosen)
            kept = await self._hashing.hash(password)
            return Credential(identity, device.id, device.id, CredentialKind.CHOSEN, kept, now), CHOSEN
        password = new_password()
        key = await lasting_key(self._vault, DEVICE_PASSWORDS, self._store.meta.put_first)
        kept = keyed_hash(key, password)
        return Credential(identity, device.id, device.id, CredentialKind.GENERATED, kept, now), grouped(password)

    async def _sheet(self, device: Device, password: str) -> dict[str, Json]:
        settings = (await self._store.services.get(device.service)).settings
        sender = settings.sender_address if isinstance(settings, SmtpSettings) else ""
        own = next((each for each in device.allowed_senders if not each.startswith("@")), "")
        certificates = str(self._store.folder.path / "certificates")
        paper = sheet(device, own or sender, self._doors(), password, certificates=certificates)
        oauth = isinstance(settings, SmtpSettings) and settings.auth is AuthMethod.OAUTH2
        if oauth and await self._store.grants.get(device.service) is None:
            paper["token_missing"] = device.service
        return paper

    async def _view(self, device: Device) -> dict[str, Json]:
        credentials = await self._store.devices.credentials_of(device.id)
        newest = await self._store.messages.of_device(device.id, limit=1)
        used = [each.last_used for each in credentials if each.last_used is not None]
        return {
            "id": device.id,
            "version": device.version,
            "settings": {name: field.show(device) for name, field in DEVICE_FIELDS.items()},
            "labels": {name: field.label for name, field in DEVICE_FIELDS.items()},
            "passwords": [
                {"kind": each.kind, "made_at": time_text(each.created_at), "last_used": time_text(each.last_used)}
                for each in credentials
            ],
            "signed_in_at": time_text(max(used, default=None)),
            "sent_at": time_text(newest[0].created_at) if newest else None,
        }

    async def _audit(self, who: Who, what: str, device: Device, detail: str) -> None:
        await self._store.audit.append(who=who.name, from_where=who.place, what=what, subject=device.id, detail=detail)


def _used(credential: Credential) -> tuple[bool, float]:
    """Order credentials by when they were used; of unused ones the oldest may be in a device that just is off."""
    if credential.last_used is not None:
        return True, credential.last_used.timestamp()
    return False, -credential.created_at.timestamp()


def _chosen(text: str) -> Secret:
    password = fields.secret("Password", text)
    if password is None or not len(text) >= CHOSEN_MIN:
        raise InvalidInputError("MB-W05", field="Password", problem=f"choose at least {CHOSEN_MIN} characters")
    return password


def _difference(before: Device | None, after: Device) -> str:
    shown = {name: field.show(after) for name, field in DEVICE_FIELDS.items()}
    old = {name: field.show(before) for name, field in DEVICE_FIELDS.items()} if before is not None else {}
    return ", ".join(f"{name}={value}" for name, value in shown.items() if value != old.get(name, ""))
