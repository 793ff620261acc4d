"""How far the server core bends for old devices. Each switch is one departure from the standards, seen in the field."""

from dataclasses import dataclass
from enum import StrEnum


class LineEnds(StrEnum):
    """What happens to a message with a CR or LF that stands alone. None of the three lets it end the message."""

    REPAIR = "repair"  # LF becomes CR LF, CR a space, as Postfix does with smtpd_forbid_bare_newline=normalize
    REFUSE = "refuse"  # the owner is told and answers 550 5.5.2
    TELL = "tell"  # as it came; for owners that only look


@dataclass(frozen=True, slots=True)
class Dialect:
    """The switches. Talking before the greeting is always borne, and a command that ends with LF alone never."""

    line_ends: LineEnds = LineEnds.TELL
    bare_addresses: bool = True  # MAIL FROM:scan@clinic.example, without the angle brackets (MB-S27)
    blank_after_colon: bool = True  # MAIL FROM: <scan@clinic.example>
    auth_after_helo: frozenset[str] = frozenset()  # mechanisms for those who say HELO, and then AUTH all the same
    blanks_around_base64: bool = True  # a space before or behind the response to a challenge


STRICT = Dialect(bare_addresses=False, blank_after_colon=False, blanks_around_base64=False)
OLD_DEVICES = Dialect(line_ends=LineEnds.REPAIR, auth_after_helo=frozenset({"PLAIN", "LOGIN"}))
