"""The From policy (SPEC 5): whose name a message of a device leaves under."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from mailbearer.errors import InvalidInputError
from mailbearer.model.device import FromPolicy
from mailbearer.model.envelope import is_address
from mailbearer.sending.submitted import Header

READ_MAX: Final = 998
"""Octets of a From that are looked at: a line (RFC 5322 section 2.1.1). The time this takes grows with their square."""

NAME_MAX: Final = 128
"""Characters of a name that are kept of a From without order: encoded, they fit into a line."""

_ADDRESS: Final = re.compile(rb'(?:"(?:[^"\\]|\\.)*"|[^\s<>(),;:"\\]+)@[^\s<>(),;:"\\]+')
_ASIDE: Final = re.compile(rb'"(?:[^"\\]|\\.)*"(?!@)|\((?:[^()\\]|\\.)*\)')  # what names hold is no address
_WELL_FORMED: Final = re.compile(
    rb'(?:[^"<>@,;:()\\]*|"(?:[^"\\]|\\.)*")[ \t]*<[^\s<>]+@[^\s<>]+>'
    rb'|[^\s<>"(),;:@\\]+@[^\s<>"(),;:@\\]+'
)
_BRACKETS: Final = re.compile(r"\"?[ \t]*<[^<>]*>")
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")  # what a name may be without quotation marks


class Sender(NamedTuple):
    """Sender Name and Sender Address of a service, or those that a device may use instead."""

    name: str
    address: str


_Fields = tuple[bytes, bytes]  # From and Sender


class Signed(NamedTuple):
    """What the policy makes of a message: its reverse-path, the fields that go, and those that are added.

    ``repaired`` when the device had written its sender in a form that is none (MB-S27).
    """

    reverse_path: str
    removed: tuple[bytes, ...] = ()
    added: bytes = b""
    repaired: bool = False


def sign(policy: FromPolicy, header: Header, reverse_path: str, sender: Sender) -> Signed:
    """Apply ``policy`` to a message of which ``sender`` is the service's.

    Raises:
        InvalidInputError: MB-G03, the policy is to refuse other senders, and this is one.
    """
    written, by = header.values(b"from"), header.values(b"sender")
    decide = _remembered if len(written) + len(by) < 512 else _sign
    return decide(policy, (written, by), header.has(b"reply-to"), reverse_path, sender)


@lru_cache(maxsize=256)  # a device writes the same From all day
def _remembered(policy: FromPolicy, fields: _Fields, answered: bool, reverse_path: str, sender: Sender) -> Signed:  # noqa: PLR0917 - the quickest key
    return _sign(policy, fields, answered, reverse_path, sender)


def _sign(policy: FromPolicy, fields: _Fields, answered: bool, reverse_path: str, sender: Sender) -> Signed:  # noqa: PLR0917 - as above
    written, by = fields
    address = address_in(written)
    if policy is FromPolicy.AS_IS or not sender.address:
        return _as_is(written, address, reverse_path)
    theirs = address or reverse_path
    broken = _is_broken(written)
    other = "" if broken else _other_in(written, sender.address)  # a broken one is mended, and names one then
    unlike = other or next((each for each in (theirs, reverse_path) if each and not _same(each, sender.address)), "")
    if unlike and policy is FromPolicy.REFUSE:
        raise InvalidInputError("MB-G03", address=unlike)
    path = sender.address if reverse_path else ""
    if not other and _same(theirs or sender.address, sender.address):
        signed = _as_is(written, address or sender.address, path)
        return signed._replace(removed=(*signed.removed, b"sender")) if _other_in(by, sender.address) else signed
    added = _field("From", mailbox(sender.name, sender.address))
    if not answered:
        kept = written if written and not broken else mailbox(_name_in(written, theirs), theirs).encode()
        added += b"Reply-To: " + kept + b"\r\n"
    return Signed(path, (b"from", b"sender"), added, repaired=broken)


def address_in(value: bytes) -> str:
    """Return the first thing in a From or Reply-To that is an address, in brackets or not; empty when nothing is."""
    said = _ASIDE.sub(b" ", value[:READ_MAX])
    return next((address for text in (said, value) for address in _addresses_in(text)), "")


def authors_in(value: bytes) -> tuple[str, ...]:
    """Return everybody whom a From names, once each; what is in quotation marks or a comment is no address."""
    return tuple(dict.fromkeys(_addresses_in(_ASIDE.sub(b" ", value[:READ_MAX]))))


def _addresses_in(value: bytes) -> Iterator[str]:
    """Yield the first address in brackets, then all of them."""
    bracketed = value.partition(b"<")[2].partition(b">")[0].strip()
    candidates: list[bytes] = [bracketed, *_ADDRESS.findall(value[:READ_MAX])]
    for candidate in candidates:
        text = candidate.decode("utf-8", "replace").strip(".")
        if is_address(text):
            yield text


def _other_in(value: bytes, address: str) -> str:
    """Return another address, or the text itself, when a From or Sender names more than ``address``; else nothing."""
    said = _ASIDE.sub(b" ", value[:READ_MAX])
    other = next((each for each in _addresses_in(said) if not _same(each, address)), "")
    if other or said.count(b"@") <= said.lower().count(address.lower().encode()):
        return other
    return said.decode("utf-8", "replace").strip()


def mailbox(name: str, address: str) -> str:
    """Return ``name <address>`` for a header; a name that is not plain is quoted or encoded (RFC 2047)."""
    name = "".join(char if char.isprintable() else " " for char in name).strip()
    if not name:
        return address
    if not name.isascii():
        from base64 import b64encode  # noqa: PLC0415 - only for a name that is not ASCII

        words = " ".join(  # at most 45 octets each, RFC 2047 section 2
            f"=?utf-8?b?{b64encode(name[at : at + 11].encode()).decode()}?=" for at in range(0, len(name), 11)
        )
        return f"{words} <{address}>"
    if not _ATOMS.fullmatch(name):
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{name} <{address}>"


def _same(one: str, other: str) -> bool:
    return one.lower() == other.lower()


def _is_broken(written: bytes) -> bool:
    """Tell whether a From is of a form that no provider takes; a list of several is left alone."""
    if not written or b"," in written:
        return False
    return len(written) > READ_MAX or not _WELL_FORMED.fullmatch(written)


def _as_is(written: bytes, address: str, reverse_path: str) -> Signed:
    """Change nothing but a From that is missing or broken."""
    address = address or reverse_path
    if not written and address:
        return Signed(reverse_path, (b"from",), _field("From", address))
    if not address or not _is_broken(written):
        return Signed(reverse_path)
    return Signed(reverse_path, (b"from",), _field("From", mailbox(_name_in(written, address), address)), repaired=True)


def _name_in(written: bytes, address: str) -> str:
    """Return what stands beside ``address``, which occurs with brackets or without."""
    before, found, behind = written.decode("utf-8", "replace").rpartition(f"<{address}>")
    if not found:
        before, _, behind = behind.rpartition(address)
    return _BRACKETS.sub(" ", f"{before} {behind}"[:READ_MAX]).strip(' "<>\t')[:NAME_MAX]


def _field(name: str, value: str) -> bytes:
    return f"{name}: {value}\r\n".encode()
