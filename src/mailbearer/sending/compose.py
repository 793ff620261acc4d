"""Making a message of a text and files (RFC 5322, RFC 2045), or taking a ready one, without holding it in memory."""

import base64
import binascii
import contextlib
import mimetypes
import os
import re
import secrets
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.errors import HeaderParseError
from email.utils import format_datetime
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from mailbearer.errors import InvalidInputError
from mailbearer.model.envelope import domain_of, is_address

BODY_MAX = 10_000_000  # characters of a text; more is a file
FILES_MAX = 1_000
HEADER_MAX = 256 * 1024  # octets of a ready message's header; Postfix takes 102,400
SUBJECT_MAX = 900  # characters; folded and encoded it stays far below the header limits of providers
SUBJECT_READ = 2_000  # octets of a subject that are decoded for lists; the time of the decoder grows with their square
_LINES = 57 * 1024  # octets read at once; 57 give one line of 76 in base64 (RFC 2045 section 6.8)
_NAMED = re.compile(r'\s*(?:"([^"]*)"|([^<>"]*?))\s*<([^<>]+)>\s*')
_FIELD = re.compile(rb"([!-9;-~]{1,256})[ \t]*:")  # RFC 5322 section 2.2, with the blank of section 4.5
_DROPPED = frozenset({b"bcc", b"resent-bcc"})
_NOWHERE = "mailbearer.invalid"
_WORD: Final = 45  # octets of one encoded word: 60 in base64, RFC 2047 section 2 allows 75 with what is around them
_LINE_MAX: Final = 998  # RFC 5322 section 2.1.1
_CODINGS: Final = {True: "7bit", False: "quoted-printable"}
_PLAIN_TEXT: Final = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")
_PLAIN_NAME: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
)  # RFC 5322 phrase
_PLAIN_FILE: Final = re.compile(r"[!#-\[\]-~](?:[ !#-\[\]-~]{0,100}[!#-\[\]-~])?")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A name, possibly empty, and an address."""

    name: str
    address: str

    @classmethod
    def read(cls, text: str) -> "Mailbox":
        """Read ``address`` or ``Name <address>``.

        Raises:
            InvalidInputError: MB-W22, it is neither.
        """
        found = _NAMED.fullmatch(text)
        name, address = ((found[1] or found[2] or "").strip(), found[3].strip()) if found else ("", text.strip())
        if not is_address(address) or not (name.isprintable() or not name):
            raise InvalidInputError("MB-W22", address=text)
        return cls(name, address)


@dataclass(frozen=True, slots=True)
class Letter:
    """What somebody wants to send. Recipients of blind copies are in the envelope only, never here."""

    sender: Mailbox
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...] = ()
    subject: str = ""
    body: str = ""
    files: tuple[Path, ...] = ()


def compose(letter: Letter, target: BinaryIO, *, now: datetime, message_id: str = "") -> str:
    """Write ``letter`` to ``target`` and return its Message-ID, with angle brackets; a new one unless it is given.

    Raises:
        InvalidInputError: a field cannot stand in a header, or a file cannot be read; ``target`` is of no use then.
    """
    message_id = message_id or new_message_id(letter.sender.address)
    target.write(_head(letter, message_id, now))
    if not letter.files:
        target.writelines(_text(letter))
        return message_id
    if len(letter.files) > FILES_MAX:
        raise InvalidInputError("MB-W05", field="files", problem=f"at most {FILES_MAX}")
    boundary = f"=_{secrets.token_hex(16)}"
    target.write(f'Content-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n'.encode())
    texts = [_text(letter)] if letter.body else []
    for part in (*texts, *map(_attachment, letter.files)):
        target.write(f"--{boundary}\r\n".encode())
        target.writelines(part)
        target.write(b"\r\n")
    target.write(f"--{boundary}--\r\n".encode())
    return message_id


def take_ready(source: BinaryIO, target: BinaryIO, *, sender: str, now: datetime) -> str:
    """Copy the ready message ``source`` to ``target`` and return its Message-ID.

    Not an octet is changed but these: blind copies are removed from the header, a missing Date, From or Message-ID is
    added, line ends of the header become CRLF.

    Raises:
        InvalidInputError: there is no header, or it is too large.
    """
    header, rest = _split(source)
    fields = [field for field in _fields(header) if _name(field) not in _DROPPED]
    present = {_name(field): field for field in fields}
    if b"from" not in present:
        fields.append(b"From: " + sender.encode() + b"\r\n")
    if b"date" not in present:
        fields.append(b"Date: " + format_datetime(now).encode() + b"\r\n")
    message_id = _value(present.get(b"message-id", b""))
    if not message_id:
        message_id = new_message_id(sender)
        fields.append(b"Message-ID: " + message_id.encode() + b"\r\n")
    target.write(b"".join(fields) + b"\r\n" + rest)
    while chunk := source.read(_LINES):
        target.write(chunk)
    return message_id


def new_message_id(sender: str) -> str:
    """Return a Message-ID of our own, in the domain of ``sender`` (RFC 5322 section 3.6.4)."""
    domain = domain_of(sender) or _NOWHERE
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode()
        except UnicodeError:
            domain = _NOWHERE
    return f"<{secrets.token_hex(16)}.mailbearer@{domain}>"


def subject_of(header: bytes) -> str:
    """Return the decoded Subject of a header block for lists, at most 200 characters, empty when there is none."""
    return _decoded(_raw_value(header, b"subject")[:SUBJECT_READ])[:200]


def header_value(header: bytes, name: bytes) -> str:
    """Return the first field ``name`` (small letters) of a header block as printable text, at most 998 characters."""
    text = _raw_value(header, name).decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in text)[:998].strip()


def _raw_value(header: bytes, name: bytes) -> bytes:
    """Look a field up without judging the others: a message from elsewhere is taken as it is."""
    found = re.search(
        rb"(?:^|\n)" + re.escape(name) + rb"[ \t]*:((?:[^\n]|\n[ \t])*)", header[:HEADER_MAX], re.IGNORECASE
    )
    return re.sub(rb"\r?\n[ \t]+", b" ", found[1]).strip() if found else b""


def _decoded(value: bytes) -> str:
    from email.header import decode_header, make_header  # noqa: PLC0415 - only where a subject is listed

    text = value.decode("utf-8", "replace")
    if "=?" not in text and text.isprintable():
        return text
    with contextlib.suppress(ValueError, LookupError, HeaderParseError):  # a broken encoded word is shown as it stands
        text = str(make_header(decode_header(text)))
    return "".join(char if char.isprintable() else " " for char in text)


def _head(letter: Letter, message_id: str, now: datetime) -> bytes:
    """Return the header of the whole message, but for the fields of its content."""
    if len(letter.subject) > SUBJECT_MAX:
        raise InvalidInputError("MB-W05", field="Subject", problem=f"at most {SUBJECT_MAX} characters")
    fields = [("From", _mailbox(letter.sender))]
    fields += [
        (name, ",\r\n ".join(map(_mailbox, mailboxes)))
        for name, mailboxes in (("To", letter.to), ("Cc", letter.cc))
        if mailboxes
    ]
    fields += [
        ("Subject", _words(letter.subject, plain=_PLAIN_TEXT, field="Subject")),
        ("Date", format_datetime(now)),
        ("Message-ID", message_id),
        ("MIME-Version", "1.0"),
    ]
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode()


def _mailbox(mailbox: Mailbox) -> str:
    """Return ``Name <address>``; a non-ASCII address stands there as it is (RFC 6532), a name never."""
    if not is_address(mailbox.address):
        raise InvalidInputError("MB-W22", address=mailbox.address)
    if not mailbox.name:
        return mailbox.address
    if len(mailbox.name) > SUBJECT_MAX:
        raise InvalidInputError("MB-W05", field="Name", problem=f"at most {SUBJECT_MAX} characters")
    return f"{_words(mailbox.name, plain=_PLAIN_NAME, field='Name')} <{mailbox.address}>"


def _words(text: str, *, plain: re.Pattern[str], field: str) -> str:
    """Return ``text`` as it is if it is ``plain``, else as encoded words (RFC 2047); a control character is refused."""
    if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in text):
        raise InvalidInputError("MB-W05", field=field, problem="a line break or another control character")
    if plain.fullmatch(text) and "=?" not in text:
        return text
    words: list[str] = []
    while text:
        length = next(n for n in range(min(len(text), _WORD), 0, -1) if len(text[:n].encode()) <= _WORD)
        words.append(f"=?utf-8?b?{base64.b64encode(text[:length].encode()).decode()}?=")
        text = text[length:]
    return "\r\n ".join(words)


def _text(letter: Letter) -> Iterator[bytes]:
    """Return the text with its header: as it is where every mail server takes it so, else quoted-printable."""
    octets = _text_of(letter)
    plain = octets.isascii() and b"\0" not in octets and max(map(len, octets.split(b"\r\n"))) <= _LINE_MAX
    yield f'Content-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: {_CODINGS[plain]}\r\n\r\n'.encode()
    yield octets if plain else _quoted_printable(octets)


def _quoted_printable(octets: bytes) -> bytes:
    lines = (binascii.b2a_qp(line, quotetabs=False, istext=True) for line in octets.split(b"\r\n"))
    return b"\r\n".join(line.replace(b"=\n", b"=\r\n") for line in lines)


def _text_of(letter: Letter) -> bytes:
    """Return the text in UTF-8; every kind of line end becomes CRLF, and the last line has one."""
    if len(letter.body) > BODY_MAX:
        raise InvalidInputError("MB-W05", field="body", problem=f"at most {BODY_MAX} characters; attach it as a file")
    lines = letter.body.encode("utf-8", "replace").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return b"\r\n".join(lines if not lines[-1] else [*lines, b""])


def _attachment(path: Path) -> Iterator[bytes]:
    if path.exists() and not path.is_file():  # a pipe or a device may never end
        raise InvalidInputError("MB-W05", field=str(path), problem="it is not a plain file")
    name = os.fsencode(path.name).decode("utf-8", "replace")
    kind, encoding = mimetypes.guess_type(name)
    if kind is None or encoding or kind.startswith(("message/", "multipart/")):  # those may not be base64: RFC 2046
        kind = "application/octet-stream"
    yield (
        f"Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: attachment;\r\n {_file_name(name)}\r\n\r\n"
    ).encode()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_LINES):
                yield base64.encodebytes(chunk).replace(b"\n", b"\r\n")
    except OSError as error:
        problem = error.strerror or "cannot be read"
        raise InvalidInputError("MB-W05", field=str(path), problem=problem) from error


def _file_name(name: str) -> str:
    """Return the parameter ``filename``, in the form of RFC 2231 where the name is not plain."""
    if _PLAIN_FILE.fullmatch(name) and "=?" not in name:
        return f'filename="{name}"'
    return f"filename*=utf-8''{quote(name, safe='')}"


def _split(source: BinaryIO) -> tuple[bytes, bytes]:
    """Return the header with its last line end, and what was read of the body."""
    block = source.read(HEADER_MAX)
    if not block:
        raise InvalidInputError("MB-W05", field="message", problem="it is empty")
    if block.startswith((b"\r", b"\n")):
        raise InvalidInputError("MB-W05", field="message", problem="its first lines are no mail header")
    ends = [(at, len(mark)) for mark in (b"\r\n\r\n", b"\n\n") if (at := block.find(mark)) >= 0]
    if not ends:
        if len(block) == HEADER_MAX:
            raise InvalidInputError("MB-W05", field="message", problem=f"a header of more than {HEADER_MAX} octets")
        return block, b""
    at, length = min(ends)
    return block[: at + length // 2], block[at + length :]


def _fields(header: bytes) -> list[bytes]:
    """Return the header fields, each with its folded lines and a CRLF at its end."""
    fields: list[bytes] = []
    # a CR that stands alone becomes a line end on its way, so it is one here
    for line in header.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        if not line:
            continue
        if line[:1] in {b" ", b"\t"} and fields:
            fields[-1] += line + b"\r\n"
        elif _FIELD.match(line):
            fields.append(line + b"\r\n")
        elif not (line.startswith(b"From ") and not fields):  # the first line of an mbox
            raise InvalidInputError("MB-W05", field="message", problem="its first lines are no mail header")
    return fields


def _name(field: bytes) -> bytes:
    found = _FIELD.match(field)
    return found[1].lower() if found else b""


def _value(field: bytes) -> str:
    return field.partition(b":")[2].strip().decode("utf-8", "replace")
