"""How SMTP and POP3 carry SASL: base64 without line breaks or leniency (RFC 4648 section 4), and the arguments of AUTH.

RFC 4954 section 4 and RFC 5034 section 4 say the same about both.
"""

import binascii
import re
from typing import NamedTuple

_AUTH = re.compile(rb"([A-Za-z0-9_-]{1,20})(?: +([!-~]+))?")  # RFC 4422 section 3.1: names have up to 20 characters


def encode(data: bytes) -> bytes:
    """Return ``data`` in base64, one line without its end."""
    return binascii.b2a_base64(data, newline=False)


def decode(text: bytes) -> bytes | None:
    """Return what ``text`` stands for, or None when it is not base64."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None


class AuthArguments(NamedTuple):
    """What follows AUTH: the mechanism in capitals, and the initial response, None when there is none."""

    mechanism: str
    initial: bytes | None


def read_arguments(text: bytes) -> AuthArguments | None:
    """Read what follows AUTH on a command line; None when it cannot be. ``=`` is the empty initial response."""
    match = _AUTH.fullmatch(text)
    if match is None:
        return None
    mechanism = match[1].decode("ascii").upper()
    if match[2] is None:
        return AuthArguments(mechanism, None)
    initial = b"" if match[2] == b"=" else decode(match[2])
    return None if initial is None else AuthArguments(mechanism, initial)
