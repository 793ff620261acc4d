"""What every SASL mechanism of a client can do, whatever protocol carries it (RFC 4422 section 3)."""

from typing import Protocol

from mailbearer.errors import InvalidInputError, RemoteProtocolError
from mailbearer.protocol.lines import is_plain


class Mechanism(Protocol):
    """One sign-in attempt. Use a new object for each; it remembers how far the exchange has come."""

    @property
    def name(self) -> str:
        """The registered name, as it is sent: ``XOAUTH2``."""
        ...

    @property
    def failure(self) -> str:
        """The server's JSON text about a refusal, decoded; empty when it gave none. See ``failures.parse``."""
        ...

    def respond(self, challenge: bytes) -> bytes:
        """Return the response to ``challenge``, both without base64.

        Raises:
            RemoteProtocolError: the server asks more often than the mechanism has answers.
        """
        ...


def asked_too_often() -> RemoteProtocolError:
    """Return the error for one challenge more than the mechanism has answers."""
    return RemoteProtocolError("MB-S30", problem="it goes on asking after the sign-in is complete")


def check_credential(text: str, field: str) -> None:
    """Let ``text`` pass when it is not empty and has no control characters: they frame the fields of a mechanism.

    Raises:
        InvalidInputError: it is empty or has; ``field`` is named, the text never.
    """
    if not text:
        raise InvalidInputError("MB-W05", field=field, problem="it is empty")
    if not is_plain(text):
        raise InvalidInputError("MB-W05", field=field, problem="it contains a control character")
