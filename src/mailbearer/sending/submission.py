"""A message that a program on this machine hands in as ``sendmail`` takes it: any line ends, no Date, any sender.

It gets what a message of a device gets: the From policy, the fields that are missing, no Bcc. Of the body nothing is
changed but its line ends.
"""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime, getaddresses
from typing import Final

from mailbearer.errors import InvalidInputError
from mailbearer.model.device import Device
from mailbearer.model.envelope import Envelope, is_address
from mailbearer.model.message import QueuedMessage
from mailbearer.sending.completion import complete
from mailbearer.sending.from_policy import Sender
from mailbearer.sending.intake import Intake
from mailbearer.sending.submitted import HEADER_MAX, HOPS_MAX, Header, HeaderSplit

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_RESENT: Final = (b"resent-to", b"resent-cc", b"resent-bcc")
_PLAIN: Final = (b"to", b"cc", b"bcc")
_FOLD: Final = re.compile(rb"\r\n[ \t]+")


@dataclass(frozen=True, slots=True)
class Wish:
    """What the program asks for: ``reverse_path`` None is the Sender Address; ``extract`` names the header's too."""

    reverse_path: str | None
    recipients: tuple[str, ...]
    extract: bool = False


class LineEnds:
    """Makes every kind of line end CR LF."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return ``chunk`` with its line ends made; a CR at its end waits for what follows."""
        chunk = self._held + chunk
        self._held = b"\r" if chunk.endswith(b"\r") else b""
        return _LINE_END.sub(b"\r\n", chunk.removesuffix(b"\r") if self._held else chunk)

    def finish(self) -> bytes:
        """Return what waited."""
        held, self._held = self._held, b""
        return b"\r\n" if held else b""


class Submission:
    """Takes messages of ``device`` in, for the service whose ``sender`` it is."""

    def __init__(
        self, intake: Intake, device: Device, sender: Sender, resolve: Callable[[str], tuple[str, ...]]
    ) -> None:
        self._intake = intake
        self._device = device
        self._sender = sender
        self._resolve = resolve

    async def take(self, wish: Wish, chunks: AsyncIterator[bytes], *, now: datetime) -> QueuedMessage:
        """Put a message into the queue; it is durable when this returns.

        Raises:
            InvalidInputError: MB-W22 or MB-W23 for its recipients, MB-G03 for its sender, MB-S19 for its size, MB-W05.
            StoreError: it cannot be kept.
        """
        device = self._device
        acceptance = self._intake.begin(device.service, device=device.id, size_max=device.size_max or None)
        ends, split, envelope = LineEnds(), HeaderSplit(), None
        try:
            async for chunk in chunks:
                piece = ends.feed(chunk)
                if envelope is not None:
                    acceptance.write(piece)
                elif (divided := split.feed(piece)) is not None:
                    envelope, begin = self._begun(wish, divided[0], now)
                    acceptance.write(begin + divided[1])
                elif split.too_long:
                    raise InvalidInputError("MB-W05", field="header", problem=f"more than {HEADER_MAX} bytes")
                if acceptance.congested:
                    await acceptance.drain()
            rest = ends.finish()
            if envelope is None:
                header, body = split.feed(rest) or split.finish()
                envelope, begin = self._begun(wish, header, now)
                rest = begin + (body or b"\r\n")
            acceptance.write(rest)
            return await acceptance.commit(envelope)
        finally:
            await acceptance.abort()

    def _begun(self, wish: Wish, text: bytes, now: datetime) -> tuple[Envelope, bytes]:
        """Return the envelope, and the header as it is sent."""
        while text.startswith((b"From ", b">From ")):  # an mbox separator is no field
            text = text.partition(b"\r\n")[2]
        header = Header(text)
        if header.hops > HOPS_MAX:
            raise InvalidInputError("MB-W05", field="message", problem="it goes in circles")
        recipients = self._recipients(wish, text)
        path = self._reverse_path(wish)
        if not self._device.may_send_as(path):
            raise InvalidInputError("MB-G03", device=self._device.title, address=path)
        done = complete(header, self._device, path, self._sender, date=format_datetime(now).encode())
        return Envelope(done.reverse_path, recipients), done.header

    def _reverse_path(self, wish: Wish) -> str:
        if wish.reverse_path == "":
            return ""
        return wish.reverse_path if wish.reverse_path and is_address(wish.reverse_path) else self._sender.address

    def _recipients(self, wish: Wish, header: bytes) -> tuple[str, ...]:
        named = [*wish.recipients, *(addresses_in(header) if wish.extract else ())]
        found: dict[str, None] = {}
        for name in named:
            addresses = (name,) if "@" in name else self._resolve(name)
            if not addresses:
                raise InvalidInputError("MB-W22", address=name)
            found |= dict.fromkeys(addresses)
        return tuple(found)


def addresses_in(header: bytes) -> tuple[str, ...]:
    """Return the recipients that a header names: those of Resent fields where there are any (RFC 5322)."""
    fields = [field.partition(b":") for field in _FOLD.sub(b" ", header).split(b"\r\n")]
    named = [(name.strip().lower(), value.strip()) for name, _, value in fields]
    wanted = _RESENT if any(name in _RESENT for name, _ in named) else _PLAIN
    values = [value.decode("utf-8", "replace") for name, value in named if name in wanted]
    return tuple(dict.fromkeys(address for _, address in getaddresses(values) if address))
