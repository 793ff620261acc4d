"""Telling systemd how it is (sd_notify(3)): ready, reloading, stopping, alive. Silent where there is no systemd."""

import os
import socket
from collections.abc import Mapping


def notify(message: str, environment: Mapping[str, str] | None = None) -> bool:
    """Send ``message`` such as ``READY=1``; tell whether somebody listens."""
    address = (os.environ if environment is None else environment).get("NOTIFY_SOCKET", "")
    if not address:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        try:
            peer.connect("\0" + address[1:] if address.startswith("@") else address)
            peer.sendall(message.encode())
        except OSError:
            return False
    return True


def watchdog_seconds(environment: Mapping[str, str] | None = None) -> float | None:
    """Return how often to say ``WATCHDOG=1``: twice in the time that systemd allows; None when it does not ask."""
    text = (os.environ if environment is None else environment).get("WATCHDOG_USEC", "")
    return int(text) / 2_000_000 if text.isascii() and text.isdigit() and int(text) else None
