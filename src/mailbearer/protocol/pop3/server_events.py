"""What a client wants of the POP3 server core, and what the owner of the core answers."""

from dataclasses import dataclass, field

from mailbearer.model.secret import Secret


@dataclass(frozen=True, slots=True)
class Ok:
    """+OK. ``lines`` follow when CAPA, or LIST or UIDL without a number, is answered; otherwise there are none."""

    text: str = ""
    lines: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Err:
    """-ERR, with a response code in brackets at the beginning of ``text`` if there is one."""

    text: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """Sent instead of an answer to AuthAsked or AuthGiven; ``data`` is without base64."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CapaAsked:
    """The client asks what it can do."""


@dataclass(frozen=True, slots=True)
class StlsAsked:
    """The client wants TLS; after +OK this core is over."""


@dataclass(frozen=True, slots=True)
class AuthAsked:
    """The client wants to sign in; ``initial`` is None when it waits for a challenge."""

    mechanism: str
    initial: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthGiven:
    """The response to the last challenge, without base64."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthCancelled:
    """The client gives the sign-in up."""


@dataclass(frozen=True, slots=True)
class UserGiven:
    """A user name; +OK tells nothing about whether it is known."""

    name: str


@dataclass(frozen=True, slots=True)
class PassGiven:
    """The password to the user name before; +OK signs in."""

    secret: Secret


@dataclass(frozen=True, slots=True)
class StatAsked:
    """How many messages, how many octets."""


@dataclass(frozen=True, slots=True)
class ListAsked:
    """The size of message ``number``, of all when None."""

    number: int | None


@dataclass(frozen=True, slots=True)
class UidlAsked:
    """The unique-id of message ``number``, of all when None."""

    number: int | None


@dataclass(frozen=True, slots=True)
class RetrAsked:
    """Message ``number``; after +OK come ``body`` and ``end_of_body``."""

    number: int


@dataclass(frozen=True, slots=True)
class TopAsked:
    """The header and the first ``lines`` of message ``number``; after +OK come ``body`` and ``end_of_body``."""

    number: int
    lines: int


@dataclass(frozen=True, slots=True)
class DeleAsked:
    """Mark message ``number`` as deleted."""

    number: int


@dataclass(frozen=True, slots=True)
class RsetAsked:
    """Take all deletion marks back."""


@dataclass(frozen=True, slots=True)
class NoopAsked:
    """Nothing but an answer."""


@dataclass(frozen=True, slots=True)
class QuitAsked:
    """The client goes; delete what is marked if it was signed in, close after the answer."""


@dataclass(frozen=True, slots=True)
class Bad:
    """Something that cannot be, here or now: send ``answer``, and if ``fatal``, close after it."""

    answer: Err
    fatal: bool = False


Event = (
    CapaAsked
    | StlsAsked
    | AuthAsked
    | AuthGiven
    | AuthCancelled
    | UserGiven
    | PassGiven
    | StatAsked
    | ListAsked
    | UidlAsked
    | RetrAsked
    | TopAsked
    | DeleAsked
    | RsetAsked
    | NoopAsked
    | QuitAsked
    | Bad
)
