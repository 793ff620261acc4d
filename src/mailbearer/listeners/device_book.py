"""The devices and their credentials as listeners ask for them: what is asked for each message is held in memory.

A generated password is compared by its keyed hash, a matter of microseconds; a chosen one costs an argon2id computation
on the thread of ``vault.passwords``, once in ten minutes.
"""

import contextlib
import ipaddress
from typing import Final

from mailbearer.clock import Clock
from mailbearer.errors import ConflictError, StoreError
from mailbearer.model.device import Credential, CredentialKind, Device, DeviceId
from mailbearer.model.secret import Secret
from mailbearer.store.store import Store
from mailbearer.vault.derived import hash_fits, plain_password
from mailbearer.vault.passwords import PasswordHashing

ADDRESSES_MAX: Final = 10_000
"""Source addresses of which it is held in memory which device they are."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class StoredDevices:
    """The book of ``DeviceGate``; ``load`` it at the start and whenever devices were changed."""

    def __init__(self, store: Store, key: bytes, hashing: PasswordHashing, clock: Clock) -> None:
        self._store = store
        self._key = key
        self._hashing = hashing
        self._clock = clock
        self._devices: dict[DeviceId, Device] = {}
        self._networks: list[tuple[Network, Device]] = []
        self._known: dict[str, Device | None] = {}
        self._some_chosen = False

    async def load(self) -> None:
        """Take over what is stored."""
        devices = await self._store.devices.all()
        chosen = False
        for device in devices:
            credentials = await self._store.devices.credentials_of(device.id)
            chosen = chosen or any(each.kind is CredentialKind.CHOSEN for each in credentials)
        self._devices = {device.id: device for device in devices}
        self._networks = _by_address(devices)
        self._known = {}
        self._some_chosen = chosen

    async def owner(self, user: str, password: Secret) -> Device | None:
        """Return the device with these credentials, switched on or not.

        Raises:
            ConflictError: MB-W02, so many are being looked at that nobody else is, whoever it may be.
        """
        credentials = await self._store.devices.credentials_for(user)
        found = self._found_at_once(credentials, password) or await self._found_slowly(credentials, password)
        if found is None:
            return None
        with contextlib.suppress(StoreError):  # a full disk is no reason to turn a device away
            await self._store.devices.note_use(found, at=self._clock.now())
        return self._devices.get(found.device)

    def known(self, address: str) -> Device | None:
        """Return the device that is known by ``address``: of several the one whose network is smallest."""
        if address not in self._known:
            if len(self._known) >= ADDRESSES_MAX:
                self._known.clear()
            self._known[address] = self._look_up(address)
        return self._known[address]

    def current(self, device: DeviceId) -> Device | None:
        """Return the device as it is now, None when it is gone."""
        return self._devices.get(device)

    def _found_at_once(self, credentials: tuple[Credential, ...], password: Secret) -> Credential | None:
        plain = plain_password(password)
        found = None
        for credential in credentials:
            if credential.kind is CredentialKind.GENERATED:
                if hash_fits(self._key, plain, credential.kept):
                    found = credential
            elif self._hashing.was_right(password, credential.kept):
                found = credential
        return found

    async def _found_slowly(self, credentials: tuple[Credential, ...], password: Secret) -> Credential | None:
        """Compute; for a name without chosen passwords as well, so that it takes the same time."""
        if not self._some_chosen:
            return None
        if self._hashing.busy:
            raise ConflictError("MB-W02")
        chosen = [credential for credential in credentials if credential.kind is CredentialKind.CHOSEN]
        if not chosen:
            await self._hashing.fits_nobody(password)
        for credential in chosen:
            if await self._hashing.fits(password, credential.kept):
                return credential
        return None

    def _look_up(self, address: str) -> Device | None:
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return None
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return next((device for network, device in self._networks if found in network), None)


def _by_address(devices: tuple[Device, ...]) -> list[tuple[Network, Device]]:
    """Return the networks of devices that need not sign in, the smallest first."""
    found = [
        (ipaddress.ip_network(network, strict=False), device)
        for device in devices
        if device.by_address and device.enabled
        for network in device.networks
    ]
    return sorted(found, key=lambda each: each[0].num_addresses)
