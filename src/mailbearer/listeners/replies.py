"""What a device hears: the replies of the submission listener, and that which stands for an error of ours."""

from collections.abc import Mapping
from typing import Final

from mailbearer.errors import DiskFullError, InvalidInputError, MailbearerError
from mailbearer.protocol.smtp.replies import Reply

OK: Final = Reply(250, "2.0.0", ("OK",))
SENDER_OK: Final = Reply(250, "2.1.0", ("OK",))
RECIPIENT_OK: Final = Reply(250, "2.1.5", ("OK",))
GO_ON: Final = Reply(354, "", ("Go on, end with a dot",))
BYE: Final = Reply(221, "2.0.0", ("Bye",))
START_TLS: Final = Reply(220, "2.0.0", ("Ready to start TLS",))

SIGNED_IN: Final = Reply(235, "2.7.0", ("Welcome",))
NOT_SIGNED_IN: Final = Reply(535, "5.7.8", ("User name or password is not right",))
CANCELLED: Final = Reply(501, "5.7.0", ("Sign-in cancelled",))
MALFORMED: Final = Reply(501, "5.5.2", ("That is no such response",))
TOO_MANY_TRIES: Final = Reply(454, "4.7.0", ("Too many tries, try again later",))
TOO_MANY_TRIES_HERE: Final = Reply(421, "4.7.0", ("Too many tries",))
SIGN_IN_FIRST: Final = Reply(530, "5.7.0", ("Sign in first",))
ENCRYPT_FIRST: Final = Reply(530, "5.7.0", ("Must issue a STARTTLS command first",))

TOO_MANY_CONNECTIONS: Final = Reply(421, "4.7.0", ("Too many connections, try again later",))
NOT_FROM_THERE: Final = Reply(554, "5.7.1", ("Nobody may connect from this address",))
CLOSING: Final = Reply(421, "4.3.2", ("The service closes, try again later",))
TOO_SLOW: Final = Reply(421, "4.4.2", ("Nothing came for too long",))
LONG_ENOUGH: Final = Reply(421, "4.4.2", ("This connection has been open for long, make a new one",))
TOO_MUCH: Final = Reply(421, "4.7.0", ("Too much at once",))

NOT_YOUR_SENDER: Final = Reply(553, "5.7.1", ("This sender is not allowed here",))
TOO_MANY_MESSAGES: Final = Reply(450, "4.7.1", ("Too many messages within an hour, try again later",))
TOO_LARGE: Final = Reply(552, "5.3.4", ("The message is too large",))
HEADER_TOO_LARGE: Final = Reply(552, "5.3.4", ("The header of the message is too large",))
NUL: Final = Reply(554, "5.6.0", ("The message contains a NUL character",))
STRAY: Final = Reply(550, "5.5.2", ("The message contains a CR or LF that stands alone",))
EMPTY: Final = Reply(554, "5.6.0", ("The message is empty",))
LOOP: Final = Reply(554, "5.4.6", ("The message goes in circles",))
NO_SPACE: Final = Reply(452, "4.3.1", ("No space for the message, try again later",))
NOT_NOW: Final = Reply(451, "4.3.0", ("Cannot take it now, try again later",))

_BY_CODE: Final[Mapping[str, Reply]] = {
    "MB-S19": TOO_LARGE,
    "MB-S31": TOO_LARGE,
    "MB-G03": NOT_YOUR_SENDER,
    "MB-W02": TOO_MANY_TRIES,
    "MB-W05": Reply(554, "5.6.0", ("The message cannot be taken as it is",)),
    "MB-W22": Reply(553, "5.1.3", ("An address is none",)),
    "MB-W23": Reply(452, "4.5.3", ("Too many recipients",)),
}


def queued_as(identity: str) -> Reply:
    """Return what stands for a message that is ours now; every device hears it, so it is written at once."""
    text = f"Queued as {identity}"
    return Reply(250, "2.0.0", (text,), f"250 2.0.0 {text}\r\n".encode())


def reply_to(error: BaseException) -> Reply:
    """Return how a device is told of ``error``: by its code, else whether trying again helps."""
    if isinstance(error, DiskFullError):
        return NO_SPACE
    if isinstance(error, MailbearerError) and error.code in _BY_CODE:
        return _BY_CODE[error.code]
    if isinstance(error, InvalidInputError):
        return Reply(554, "5.6.0", (f"It cannot be taken ({error.code})",))
    return NOT_NOW
