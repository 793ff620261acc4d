"""The envelope of a message (RFC 5321 section 2.3.1), and what may stand in an address."""

import re
from dataclasses import dataclass
from functools import lru_cache

from mailbearer.errors import InvalidInputError

ADDRESS_MAX = 320  # 64 + @ + 255 octets, RFC 5321 section 4.5.3.1
RECIPIENTS_MAX = 10_000

# RFC 5321 section 4.1.2, dot-string and quoted-string local parts, UTF-8 allowed (RFC 6531 section 3.3). Said by what
# may not stand there: sets that name all of Unicode take 30 ms to compile.
_ATOM = r'[^\x00-\x20\x7f"(),.:;<>@\[\\\]]+'
_QUOTED = r'"(?:[^\x00-\x1f\x7f"\\]|\\[ -~])*"'
_END = r"[^\x00-/:-@\[-`{-\x7f]"
_LABEL = rf"{_END}(?:[^\x00-,./:-@\[-`{{-\x7f]*{_END})?"
_LITERAL = r"\[[A-Za-z0-9:.-]+\]"
_ADDRESS = re.compile(rf"(?:{_ATOM}(?:\.{_ATOM})*|{_QUOTED})@(?:{_LABEL}(?:\.{_LABEL})*|{_LITERAL})")


@lru_cache(maxsize=1024)  # every address is asked about at each door that it passes
def is_address(text: str) -> bool:
    """Tell whether ``text`` is one bare address with a domain, no longer than ``ADDRESS_MAX`` octets."""
    try:
        octets = len(text.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return octets <= ADDRESS_MAX and _ADDRESS.fullmatch(text) is not None


def domain_of(address: str) -> str:
    """Return the part after the last ``@`` in lower case, empty when there is none."""
    return address.rpartition("@")[2].lower() if "@" in address else ""


@dataclass(frozen=True, slots=True)
class RecipientWish:
    """What the sender wants to hear of one recipient (RFC 3461 section 4): NOTIFY words, and ORCPT ``type;address``."""

    notify: tuple[str, ...] = ()
    orcpt: str = ""


@dataclass(frozen=True, slots=True)
class DsnWishes:
    """The parameters of RFC 3461: ``ret`` FULL, HDRS or empty, ``envid`` decoded, one wish for each recipient."""

    ret: str = ""
    envid: str = ""
    recipients: tuple[RecipientWish, ...] = ()


@dataclass(frozen=True, slots=True)
class Envelope:
    """Reverse-path (empty for failure reports) and recipients, in the order given."""

    reverse_path: str
    recipients: tuple[str, ...]
    dsn: DsnWishes | None = None

    def __post_init__(self) -> None:
        if self.reverse_path and not is_address(self.reverse_path):
            raise InvalidInputError("MB-W22", address=self.reverse_path)
        if not 1 <= len(self.recipients) <= RECIPIENTS_MAX:
            raise InvalidInputError("MB-W23", limit=RECIPIENTS_MAX)
        for recipient in self.recipients:
            if not is_address(recipient):
                raise InvalidInputError("MB-W22", address=recipient)
