"""What is to be typed into a device: which of our doors it should use, and by which name it finds this machine."""

from dataclasses import dataclass
from typing import Final

from mailbearer.admin.speech import Json
from mailbearer.model.device import Device

NO_DOOR: Final = "No listener is open; see [[listener]] in mailbearer.toml."

CHOSEN: Final = "the one that you chose"
"""Stands on the sheet for a password that nobody made here."""

NETWORK_DOOR: Final = ("[[listener]]", 'name = "network"', 'address = "0.0.0.0:2525"')
"""What to write into mailbearer.toml so that machines in the network come in."""


@dataclass(frozen=True, slots=True)
class Door:
    """A listener as a device sees it. ``hosts`` are the names and addresses of this machine that lead there."""

    name: str
    hosts: tuple[str, ...]
    port: int
    encryption: str  # none, starttls, implicit or both
    passwords_in_clear: bool
    old_devices: bool
    local: bool  # only programs on this machine come in
    networks: tuple[str, ...] = ()  # from where one may come, empty for everywhere
    own_certificate: bool = True  # it shows the one that we made

    @property
    def sealed(self) -> bool:
        """It offers encryption."""
        return self.encryption != "none"


_ENCRYPTION: Final = {
    "none": "none",
    "starttls": "STARTTLS (some devices say TLS, or TLS if available)",
    "implicit": "SSL/TLS (some devices say SSL, SMTPS, or TLS always)",
    "both": "STARTTLS or SSL/TLS, whichever the device has",
}


def sheet(
    device: Device, sender: str, doors: tuple[Door, ...], password: str, *, certificates: str = "certificates"
) -> dict[str, Json]:
    """Return what to type into ``device``; ``password`` is empty when it cannot be shown (any more).

    ``certificates`` is the folder of those that we made. ``toml`` is what is missing in mailbearer.toml.
    """
    order = sorted(doors, key=lambda door: (door.local, door.old_devices, not door.sealed))
    best = order[0] if order else None
    rows: list[tuple[str, str]] = []
    if best is not None:
        rows += [
            ("SMTP server", " or ".join(best.hosts)),
            ("Port", str(best.port)),
            ("Encryption", _ENCRYPTION[best.encryption]),
        ]
    if device.by_address:
        rows.append(("Sign-in", f"none: it is known by its address ({', '.join(device.networks)})"))
    else:
        rows += [
            ("Sign-in", "on: LOGIN or PLAIN, whichever the device has"),
            ("User name", device.id),
            ("Password", password or "as it was shown when it was made; device reset makes a new one"),
        ]
    rows.append(("Sender address", sender or "that of the service, once it has one"))
    typed: list[Json] = [{"label": label, "value": value} for label, value in rows]
    missing = best is None or best.local
    return {
        "rows": typed,
        "notes": list[Json](_notes(device, best, order, certificates, new=password not in {"", CHOSEN})),
        "toml": list[Json](NETWORK_DOOR if missing else ()),
    }


def _notes(device: Device, best: Door | None, order: list[Door], certificates: str, *, new: bool) -> list[str]:
    if best is None:
        return [NO_DOOR]
    notes: list[str] = []
    if best.local:
        notes.append(f"The listener “{best.name}” lets in programs on this machine only.")
    if best.networks:
        notes.append(f"The listener “{best.name}” lets in {', '.join(best.networks)} only.")
    if new:
        notes.append("Write the password down now: it cannot be shown again.")
    if best.sealed and not device.by_address and not best.passwords_in_clear:
        notes.append("Without encryption no password is taken there.")
    for door in order[1:]:
        if door.local == best.local and (not door.sealed or door.old_devices):
            what = "knows old encryption only" if door.sealed else "has no encryption"
            whence = f", from {', '.join(door.networks)} only" if door.networks else ""
            notes.append(f"If the device {what}: port {door.port} (listener “{door.name}”{whence}).")
    if best.sealed and not best.local:
        which = f"{certificates}/own-ec.crt (older ones: own-rsa.crt)" if best.own_certificate else "that of its issuer"
        notes.append(f"If the device checks certificates, load {which} into it, or switch the check off.")
    return notes
