"""A message on its way in: where it ends, how large it is, and whether it is fit to be passed on."""

from mailbearer.protocol.dots import DotUnstuffer


class IncomingMessage:
    """Takes the wire form and gives at most ``size_max`` octets of the message; all of it is counted and looked at."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._unstuffer = DotUnstuffer()
        self._crs = 0
        self._lfs = 0
        self._pairs = 0
        self._after_cr = False
        self.size = 0
        self.nul = False

    @property
    def done(self) -> bool:
        """The end was seen; ``rest`` is what came behind."""
        return self._unstuffer.done

    @property
    def rest(self) -> bytes:
        """What came behind the end."""
        return self._unstuffer.rest

    @property
    def oversize(self) -> bool:
        """The message has more octets than were given."""
        return self.size > self._size_max

    @property
    def stray(self) -> bool:
        """A CR or an LF stands alone."""
        return not self._crs == self._lfs == self._pairs

    def feed(self, data: bytes) -> bytes:
        """Return what of the message is certain by now and within the limit."""
        message = self._unstuffer.feed(data)
        if not message:
            return message
        self._crs += message.count(b"\r")
        self._lfs += message.count(b"\n")
        self._pairs += message.count(b"\r\n") + (self._after_cr and message.startswith(b"\n"))
        self._after_cr = message.endswith(b"\r")
        self.nul = self.nul or b"\0" in message
        room = max(self._size_max - self.size, 0)
        self.size += len(message)
        return message[:room]
