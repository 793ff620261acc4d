"""What a client wants of the SMTP server core, and what the owner of the core can give besides a reply."""

from dataclasses import dataclass, field
from typing import NamedTuple

from mailbearer.protocol.smtp.replies import Reply


@dataclass(frozen=True, slots=True)
class Challenge:
    """Sent instead of a reply to AuthAsked or AuthGiven; ``data`` is without base64."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Hello:
    """The client introduces itself; the lines of a positive reply to EHLO are the extensions that it may use."""

    name: str
    esmtp: bool


@dataclass(frozen=True, slots=True)
class StartTlsAsked:
    """The client wants TLS; after a positive reply this core is over."""


@dataclass(frozen=True, slots=True)
class AuthAsked:
    """The client wants to sign in; ``mechanism`` is one of those offered, ``initial`` None when it waits for more."""

    mechanism: str
    initial: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthGiven:
    """The response to the last challenge, without base64."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthCancelled:
    """The client gives the sign-in up; 501 is the reply."""


@dataclass(frozen=True, slots=True)
class MailAsked:
    """A message begins; ``address`` is empty or an address, ``size`` what the client declares, if it does.

    ``ret`` (FULL or HDRS) and ``envid`` are of RFC 3461, empty when not given. ``bare`` when the address came without
    its angle brackets.
    """

    address: str
    size: int | None = None
    eight_bit: bool = False
    utf8: bool = False
    ret: str = ""
    envid: str = ""
    bare: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class RcptAsked:
    """One recipient: an address, or just ``postmaster``; ``notify`` and ``orcpt`` are of RFC 3461, empty by default."""

    address: str
    notify: tuple[str, ...] = ()
    orcpt: str = ""


@dataclass(frozen=True, slots=True)
class DataAsked:
    """The client wants to send the message; 354 lets it, also when it comes in chunks (BDAT) and waits for no reply."""


class Body(NamedTuple):
    """A piece of the message, dots undoubled, everything else as it was sent. It is owed no reply."""

    chunk: bytes


@dataclass(frozen=True, slots=True)
class ChunkEnd:
    """A chunk that is not the last one is complete; ``size`` is that of the message so far."""

    size: int


class BodyEnd(NamedTuple):
    """The message is complete; a positive reply takes over the duty to deliver it.

    ``size`` is in octets; when ``oversize``, Body events gave only the first part. ``stray`` tells of a CR or LF that
    stood alone: unless the core repairs them (``Dialect``) the message must be refused, and with ``nul`` always.
    """

    size: int
    oversize: bool = False
    stray: bool = False
    nul: bool = False


class Whole(NamedTuple):
    """A whole message at once, with nothing to object to: as Body and BodyEnd. Only ``hear`` gives it."""

    message: bytes


@dataclass(frozen=True, slots=True)
class RsetAsked:
    """The message begun is forgotten."""


@dataclass(frozen=True, slots=True)
class NoopAsked:
    """Nothing but a reply."""


@dataclass(frozen=True, slots=True)
class QuitAsked:
    """The client goes; close after the reply."""


@dataclass(frozen=True, slots=True)
class Bad:
    """Something that cannot be, here or now: send ``reply``, and if ``fatal``, close after it."""

    reply: Reply
    fatal: bool = False


Event = (
    Hello
    | StartTlsAsked
    | AuthAsked
    | AuthGiven
    | AuthCancelled
    | MailAsked
    | RcptAsked
    | DataAsked
    | Body
    | ChunkEnd
    | BodyEnd
    | Whole
    | RsetAsked
    | NoopAsked
    | QuitAsked
    | Bad
)
