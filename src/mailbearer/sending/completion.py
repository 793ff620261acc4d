"""The header of a message as it leaves: the From policy applied, what was missing added, blind copies taken out.

One place for what a device hands in at a listener and a program by ``sendmail``.
"""

from typing import NamedTuple

from mailbearer.errors import InvalidInputError
from mailbearer.model.device import Device, FromPolicy
from mailbearer.sending.compose import new_message_id
from mailbearer.sending.from_policy import Sender, authors_in, sign
from mailbearer.sending.submitted import BLIND_COPIES, Header


class Completed(NamedTuple):
    """A header that is ready, and under which reverse-path; ``repaired`` as in ``Signed``."""

    reverse_path: str
    header: bytes
    repaired: bool


def complete(header: Header, device: Device, reverse_path: str, sender: Sender, *, date: bytes) -> Completed:
    """Return ``header`` with what was missing in front; ``date`` is now, as a header has it.

    Raises:
        InvalidInputError: MB-G03, the device may not send under that name.
    """
    _refuse_others(header, device)
    signed = sign(device.from_policy, header, reverse_path, sender)
    added = b"" if header.has(b"date") else b"Date: " + date + b"\r\n"
    if not header.has(b"message-id"):
        added += f"Message-ID: {new_message_id(sender.address or reverse_path)}\r\n".encode()
    removed = BLIND_COPIES + signed.removed if signed.removed else BLIND_COPIES
    text = added + signed.added + header.edited(header.without(*removed))
    return Completed(signed.reverse_path, text, signed.repaired)


def _refuse_others(header: Header, device: Device) -> None:
    """Let only authors pass whom the device may send as; a policy that writes a From of its own needs no look."""
    if not device.allowed_senders or device.from_policy is not FromPolicy.AS_IS:
        return
    for author in authors_in(header.values(b"from")):
        if not device.may_send_as(author):
            raise InvalidInputError("MB-G03", address=author)
