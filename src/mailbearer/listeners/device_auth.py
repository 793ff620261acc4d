"""Who a device is: by user name and password, or by its source address; and what guessing costs.

Whether the name or the password is wrong cannot be told from outside: a refusal has one text and takes one time.
"""

from collections import OrderedDict
from typing import Final, Protocol

from mailbearer.clock import Clock
from mailbearer.errors import ConflictError
from mailbearer.listeners.limits import ADDRESSES_KEPT, Penalties, network_of
from mailbearer.listeners.notice import Notice, nobody_hears
from mailbearer.model.device import Device, DeviceId
from mailbearer.model.secret import Secret

REFUSAL_SECONDS: Final = 1.0
"""A refusal takes at least so long, whatever was looked up and hashed for it; argon2id takes 60 ms, alone."""

NAME_SHOWN: Final = 64
"""Characters of a user name that are told to the administrator."""


class Authenticator(Protocol):
    """What a listener asks about devices. Only ``check`` may take its time; the others answer from memory."""

    async def check(self, user: str, password: Secret, address: str) -> Device | None:
        """Return the device that ``user`` and ``password`` belong to, if it may come from the IP ``address``.

        Raises:
            ConflictError: MB-W02, too many tries from there; the password was not looked at.
        """
        ...

    def known(self, address: str) -> Device | None:
        """Return the device that need not sign in because it comes from ``address``."""
        ...

    def current(self, device: DeviceId) -> Device | None:
        """Return the device as it is now; None when it was removed or switched off."""
        ...


class DeviceBook(Protocol):
    """Where devices and their credentials are kept."""

    async def owner(self, user: str, password: Secret) -> Device | None:
        """Return the device with these credentials, switched on or not."""
        ...

    def known(self, address: str) -> Device | None:
        """Return the device that is known by ``address``."""
        ...

    def current(self, device: DeviceId) -> Device | None:
        """Return the device as it is now, None when it is gone."""
        ...


class DeviceGate:
    """The authenticator of the product: asks ``book``, and makes guessing slow, for each address by itself.

    What the device is not told, the administrator is: ``notice`` hears why somebody was refused.

    A device that has just signed in from an address does so again without waiting behind others who guess there.
    """

    def __init__(self, book: DeviceBook, clock: Clock, notice: Notice = nobody_hears) -> None:
        self._book = book
        self._clock = clock
        self._notice = notice
        self._penalties = Penalties()
        self._welcome: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def check(self, user: str, password: Secret, address: str) -> Device | None:
        """Return the device that ``user`` and ``password`` belong to, if it may come from the IP ``address``.

        Raises:
            ConflictError: MB-W02, too many tries from there; the password was not looked at.
        """
        begin = self._clock.monotonic()
        guest = (network_of(address), user)
        wait = 0.0 if guest in self._welcome else self._penalties.wait(address, begin)
        if wait is None:
            await self._clock.sleep(REFUSAL_SECONDS)
            raise ConflictError("MB-W02")
        if wait:
            await self._clock.sleep(wait)
        device = await self._book.owner(user, password)
        if device is None or not device.enabled or not device.may_come_from(address):
            self._penalties.note(address, self._clock.monotonic())
            self._welcome.pop(guest, None)
            self._tell(device, user, address)
            await self._clock.sleep(max(REFUSAL_SECONDS - (self._clock.monotonic() - begin - wait), 0.0))
            return None
        self._welcome[guest] = None
        if len(self._welcome) > ADDRESSES_KEPT:
            self._welcome.popitem(last=False)
        return device

    def _tell(self, device: Device | None, user: str, address: str) -> None:
        """Tell why ``user`` was refused; ``device`` when name and password were right."""
        name = "".join(char if char.isprintable() else " " for char in user)[:NAME_SHOWN]
        if device is None:
            known = self._book.current(DeviceId(user)) is not None
            self._notice("MB-G01" if known else "MB-G07", device=name, name=name, ip=address)
        else:
            self._notice("MB-G02" if device.enabled else "MB-G11", device=device.id, ip=address)

    def known(self, address: str) -> Device | None:
        """Return the device that need not sign in because it comes from ``address``."""
        device = self._book.known(address)
        usable = device is not None and device.enabled and device.by_address and bool(device.networks)
        return device if usable and device is not None and device.may_come_from(address) else None

    def current(self, device: DeviceId) -> Device | None:
        """Return the device as it is now; None when it was removed or switched off."""
        found = self._book.current(device)
        return found if found is not None and found.enabled else None
