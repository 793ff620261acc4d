"""Dot-stuffing of SMTP and POP3 (RFC 5321 section 4.5.2, RFC 1939 section 3), streaming, in both directions.

Only CR LF ``.`` CR LF ends a message. The sender here never puts a lone CR or LF on the wire, so no other server can
read an end where none is; the receiver here takes no ``LF.LF``, ``CR.CR`` or mixture for an end (SMTP smuggling).
"""

import re
from typing import Final

from mailbearer.errors import InvalidInputError

_LONE_CR: Final = re.compile(rb"\r(?!\n)")
_END: Final = b"\r\n.\r\n"
_PARTS: Final = tuple(_END[:length] for length in range(len(_END) - 1, 0, -1))


def has_lone_ends(data: bytes) -> bool:
    """Tell whether a CR or an LF stands alone in ``data``; a CR at its end does.

    No CR alone, and as many of the one as of the other: so no LF alone. Looking for single octets takes half the time
    of counting pairs.
    """
    return data.count(b"\r") != data.count(b"\n") or _LONE_CR.search(data) is not None


class DotStuffer:
    """Turns a message into its wire form: a lone LF becomes CR LF, a lone CR a blank, a dot that begins a line two.

    ``feed`` and then once ``finish``. Of one message ``finish`` and all ``feed`` together give the same bytes wherever
    the message was cut.
    """

    __slots__ = ("_after_line", "_held_cr")

    def __init__(self) -> None:
        self._after_line = True
        self._held_cr = False  # the last octet was a CR: its LF may still come

    def feed(self, chunk: bytes) -> bytes:
        """Return ``chunk`` as it goes on the wire; a CR at its end waits for the next.

        Raises:
            InvalidInputError: the message contains NUL, which no message may (RFC 5322 section 4).
        """
        if b"\0" in chunk:
            raise InvalidInputError("MB-W05", field="Message", problem="it contains a NUL character")
        data = b"\r" + chunk if self._held_cr and chunk else chunk
        if not data:
            return b""
        self._held_cr = data.endswith(b"\r")
        if self._held_cr:
            data = data[:-1]
        return self._stuffed(data)

    def finish(self) -> bytes:
        """Return the end: the message's own last CR LF when it is missing, then ``.`` CR LF."""
        if self._held_cr:
            return b" \r\n.\r\n"
        return b".\r\n" if self._after_line else b"\r\n.\r\n"

    def _stuffed(self, data: bytes) -> bytes:
        if not data:
            return b""
        if has_lone_ends(data):
            # a lone LF was meant as a line end; CR CR LF would become an empty line, which ends the header
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\n", b"\r\n")
        after_line, self._after_line = self._after_line, data.endswith(b"\n")
        if b"." not in data:  # base64 has none
            return data
        first_dot = b"." if after_line and data.startswith(b".") else b""
        return first_dot + data.replace(b"\r\n.", b"\r\n..")


class DotUnstuffer:
    """Turns the wire form back into the message: every octet of it, lone CR, LF and NUL included.

    Holds back at most four octets, those that may begin the end.
    """

    __slots__ = ("_held", "_virtual", "done", "rest")

    def __init__(self) -> None:
        self._held = b"\r\n"  # the line before the first one ended: an empty message is just ``.`` CR LF
        self._virtual = 2  # … and these two octets are not part of the message
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return what of the message is certain by now; sets ``done``, and ``rest`` to what followed the end."""
        if self.done:
            self.rest += data
            return b""
        data = self._held + data
        dots = b"." in data  # a scan has none, nor have most of its pieces: then nothing is to be looked for
        end = data.find(_END) if dots else -1
        if end >= 0:
            self.done = True
            self.rest = data[end + len(_END) :]
            certain = data[: end + 2]
        else:
            self._held = next((part for part in _PARTS if data.endswith(part)), b"")
            certain = data[: len(data) - len(self._held)]
        if not certain:
            return b""
        message = (certain.replace(b"\r\n.", b"\r\n") if dots else certain)[self._virtual :]
        self._virtual = 0
        return message
