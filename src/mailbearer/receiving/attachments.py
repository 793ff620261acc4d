"""A folder of attachments: each as a file of its own; a message that has none, or cannot be taken apart, as it is."""

import email.policy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import BinaryIO, TypeGuard

from mailbearer.receiving import folder
from mailbearer.receiving.files import place
from mailbearer.receiving.header import decoded
from mailbearer.receiving.item import Item, safe_name

PARTS_MAX = 1_000
DEPTH_MAX = 50
SIZE_MAX = 100_000_000  # octets of a message that is taken apart in memory
_BOUNDARY = re.compile(rb"boundary\s*=", re.IGNORECASE)
_ENDINGS = {
    "application/pdf": "pdf",
    "image/tiff": "tif",
    "image/jpeg": "jpg",
    "image/png": "png",
    "text/plain": "txt",
    "message/rfc822": "eml",
}


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment: the name that the sender chose, its type, its content."""

    name: str
    kind: str
    content: bytes


def hand_over(item: Item, path: Path) -> None:
    """Put each attachment of ``item`` into the folder; when this returns all are on the disk."""
    found = attachments_of(item)
    if not found:
        folder.hand_over(item, path)
    for number, attachment in enumerate(found, 1):
        original = safe_name(attachment.name, otherwise=f"attachment.{_ENDINGS.get(attachment.kind, 'bin')}")
        content = attachment.content
        place(
            path,
            f"{item.stem}_{number}_{original}",
            _writer(content),
            taken=_holds(content),
        )


def attachments_of(item: Item) -> tuple[Attachment, ...]:
    """Return the attachments of a message; none when it has none or cannot be taken apart safely."""
    if item.size > SIZE_MAX:
        return ()
    content = item.file.read_bytes()
    # the parser's time grows with the square of such things, so they are counted before it sees them
    if content.count(b"\n--") > 2 * PARTS_MAX or len(_BOUNDARY.findall(content)) > DEPTH_MAX * 2:
        return ()
    try:
        message = BytesParser(policy=email.policy.compat32).parsebytes(content)
        return tuple(_found(message))
    except Exception:  # noqa: BLE001 - the parser raises anything on broken mail; the whole message is kept then
        return ()


def _writer(content: bytes) -> Callable[[BinaryIO], None]:
    def write(file: BinaryIO) -> None:
        file.write(content)

    return write


def _holds(content: bytes) -> Callable[[Path], bool]:
    def test(there: Path) -> bool:
        return there.stat().st_size == len(content) and there.read_bytes() == content

    return test


def _found(message: "Message[str, str]") -> Iterator[Attachment]:
    """Go through the parts in order; a message inside the message is one attachment and is not opened."""
    waiting = [message]
    for _ in range(PARTS_MAX):
        if not waiting:
            return
        part = waiting.pop()
        inner = _inner(part)
        if inner and part is not message and part.get_content_type() == "message/rfc822":
            yield Attachment(_name_of(part), "message/rfc822", inner[0].as_bytes())
        elif part.is_multipart():
            waiting += reversed(inner)
        elif (attachment := _attachment_of(part)) is not None:
            yield attachment


def _inner(part: "Message[str, str]") -> "list[Message[str, str]]":
    payload: object = part.get_payload()
    return [each for each in payload if isinstance(each, Message)] if _is_list(payload) else []


def _is_list(value: object) -> "TypeGuard[list[Message[str, str] | str]]":
    return isinstance(value, list)


def _attachment_of(part: "Message[str, str]") -> Attachment | None:
    """Return a part that has a name, is called an attachment or is no text."""
    name, kind = _name_of(part), part.get_content_type()
    if not name and part.get_content_disposition() != "attachment" and kind.startswith("text/"):
        return None
    payload = part.get_payload(decode=True)
    return Attachment(name, kind, payload) if isinstance(payload, bytes) and payload else None


def _name_of(part: "Message[str, str]") -> str:
    return decoded(str(part.get_filename() or ""))  # many write encoded words there against RFC 2047 section 5
