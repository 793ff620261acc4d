"""A message on its way in: where it ends, how large it is, and whether it is fit to be passed on."""

import re
from typing import Final

from mailbearer.protocol.dots import DotUnstuffer, has_lone_ends

_DOT: Final = re.compile(rb"\n\.")  # as an expression it is found in half the time that ``bytes.find`` takes
_FULL_STOP: Final = 0x2E


class Content:
    """Counts and examines octets of a message, repairs its line ends if asked to, and passes at most ``size_max`` on.

    A piece never ends between the CR and the LF of a line end: whoever feeds this sees to it.
    """

    __slots__ = ("_repair", "_size_max", "nul", "size", "stray")

    def __init__(self, size_max: int, *, repair: bool = False) -> None:
        self._size_max = size_max
        self._repair = repair
        self.size = 0
        self.nul = False  # there is a NUL
        self.stray = False  # a CR or an LF stands, or stood, alone

    @property
    def oversize(self) -> bool:
        """The message has more octets than were passed on."""
        return self.size > self._size_max

    def examine(self, piece: bytes) -> bytes:
        """Return what of ``piece`` is to be kept."""
        if has_lone_ends(piece):
            self.stray = True
            if self._repair:
                piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\n", b"\r\n")
        if b"\0" in piece:
            self.nul = True
        before = self.size
        self.size = before + len(piece)
        return piece if self.size <= self._size_max else piece[: max(self._size_max - before, 0)]


class IncomingMessage(Content):
    """Takes the wire form of DATA; ``done`` when the end was seen, and then ``rest`` is what came behind."""

    __slots__ = ("_unstuffer", "done", "rest")

    def __init__(self, size_max: int, *, repair: bool = False) -> None:
        Content.__init__(self, size_max, repair=repair)
        self._unstuffer: DotUnstuffer | None = None  # made when something comes that is not a whole message
        self.done = False
        self.rest = b""

    def take_whole(self, data: bytes) -> bytes:
        """Return the message if ``data`` is just all of it, and good as it is; else nothing, and nothing was taken.

        It is all of it when the first line that begins with a dot is the end, and the end of ``data``. All line ends
        are CR LF when what any kind of line end would divide is shorter by two octets for each of them.
        """
        first = _DOT.search(data) if self._unstuffer is None else None
        if first is None or first.start() != len(data) - 4 or not data.endswith(b"\r\n.\r\n"):
            return b""
        message = data[:-3]
        lines = message.splitlines()
        size = len(message)
        if len(b"".join(lines)) + 2 * len(lines) != size or data.find(0) >= 0 or data[0] == _FULL_STOP:
            return b""
        return message if size <= self._size_max else b""

    def feed(self, data: bytes) -> bytes:
        """Return what of the message is certain by now and within the limit."""
        if self._unstuffer is None:
            self._unstuffer = DotUnstuffer()
        # What the unstuffer holds back begins with a CR whenever there is one, so no pair is torn.
        message = self._unstuffer.feed(data)
        self.done, self.rest = self._unstuffer.done, self._unstuffer.rest
        return self.examine(message) if message else message


class ChunkedMessage(Content):
    """Takes the chunks of BDAT (RFC 3030): ``begin`` each, then ``feed`` until it is ``done``."""

    __slots__ = ("_discard", "_held_cr", "_last", "_missing", "rest")

    def __init__(self, size_max: int, *, repair: bool = False) -> None:
        super().__init__(size_max, repair=repair)
        self._missing = 0
        self._last = False
        self._discard = False
        self._held_cr = False
        self.rest = b""

    def begin(self, size: int, *, last: bool, discard: bool) -> None:
        """Expect a chunk of ``size`` octets; with ``discard`` it is read over."""
        self._missing = size
        self._last = last
        self._discard = discard
        self.rest = b""

    @property
    def done(self) -> bool:
        """The chunk is complete, and if it is the last one, nothing of the message is held back."""
        return self._missing == 0 and not (self._last and self._held_cr)

    def feed(self, data: bytes) -> bytes:
        """Return what of the message is certain by now and within the limit."""
        piece, self.rest = data[: self._missing], data[self._missing :]
        self._missing -= len(piece)
        if self._discard:
            return b""
        if self._held_cr:
            piece = b"\r" + piece
        self._held_cr = piece.endswith(b"\r") and not (self._last and self._missing == 0)
        if self._held_cr:
            piece = piece[:-1]
        return self.examine(piece) if piece else piece
