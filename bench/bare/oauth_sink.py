"""``python oauth_sink.py PORT FOLDER [DELAY]``: a provider that offers STARTTLS, takes any XOAUTH2 token and any mail.

What came is counted in ``FOLDER/counts`` as ``bench.gateway.provider`` reads it; the Message-IDs stand in
``FOLDER/ids``. With a DELAY in seconds, replies go out so long after what they answer, all that have gathered together:
each time is one round trip of the client.
"""

import asyncio
import mmap
import re
import ssl
import sys
from pathlib import Path
from typing import BinaryIO, cast

import uvloop

from bench.gateway.provider import COUNTS, context as server_context

HEAD = 16_384  # octets of a message in which its Message-ID is looked for
END = b"\r\n.\r\n"
FIXED = {
    b"MAIL": b"250 2.1.0 Ok\r\n",
    b"RCPT": b"250 2.1.5 Ok\r\n",
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"NOOP": b"250 2.0.0 Ok\r\n",
    b"HELO": b"250 sink\r\n",
}
HELLO = b"250-sink\r\n250-PIPELINING\r\n250-SIZE 200000000\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n"
MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)


class Provider:
    """What all sessions share."""

    def __init__(self, folder: Path, delay: float) -> None:
        self.delay = delay
        self.context = server_context(folder)
        self.messages = self.trips = 0
        self._ids: BinaryIO = (folder / "ids").open("ab", buffering=0)
        with (folder / "counts").open("r+b") as counts:
            self._counts = mmap.mmap(counts.fileno(), COUNTS.size)

    def came(self, head: bytes) -> None:
        """Count a message that begins with ``head``."""
        found = MESSAGE_ID.search(head)
        self._ids.write((found[1] if found else b"-") + b"\n")
        self.messages += 1
        self.tell()

    def tell(self) -> None:
        """Write down what was counted."""
        COUNTS.pack_into(self._counts, 0, self.messages, self.trips)


class Session(asyncio.Protocol):
    """One client."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._transport: asyncio.Transport | None = None
        self._sealing: asyncio.Task[None] | None = None
        self._waiting = False
        self._sealed = self._in_data = self._in_auth = self._mailing = self._over = False
        self._held = b""
        self._head = b""
        self._out: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        first = self._transport is None
        self._transport = cast("asyncio.Transport", transport)
        if first:
            self._transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._held += data
        while self._one():
            pass
        if not self._out:
            return
        if not self._provider.delay:
            self._flush()
        elif not self._waiting:
            self._waiting = True
            asyncio.get_running_loop().call_later(self._provider.delay, self._flush)

    def _flush(self) -> None:
        self._waiting = False
        if self._transport is None or self._transport.is_closing():
            return
        self._provider.trips += self._mailing
        self._provider.tell()
        self._transport.write(b"".join(self._out))
        self._out.clear()
        if self._over:
            self._transport.close()

    def _one(self) -> bool:
        """Take one command, or what there is of a content."""
        if self._in_data:
            return self._content()
        end = self._held.find(b"\n")
        if end < 0:
            return False
        line, self._held = self._held[:end], self._held[end + 1 :]
        if self._in_auth:
            self._in_auth = False
            self._out.append(b"235 2.7.0 Ok\r\n")
        else:
            self._command(line[:4].upper(), line)
        return True

    def _command(self, verb: bytes, line: bytes) -> None:
        match verb:
            case b"EHLO":
                self._out.append(HELLO + (b"250 AUTH XOAUTH2\r\n" if self._sealed else b"250 STARTTLS\r\n"))
            case b"STAR":
                self._sealing = asyncio.get_running_loop().create_task(self._seal())
            case b"AUTH":
                self._in_auth = len(line.split()) < 3
                self._out.append(b"334 \r\n" if self._in_auth else b"235 2.7.0 Ok\r\n")
            case b"DATA":
                self._in_data = True
                self._held = b"\r\n" + self._held
                self._out.append(b"354 Go on\r\n")
            case b"QUIT":
                self._over = True
                self._mailing = False
                self._out.append(b"221 2.0.0 Bye\r\n")
            case _:
                self._mailing = self._mailing or verb == b"MAIL"
                self._out.append(FIXED.get(verb, b"502 5.5.1 What\r\n"))

    def _content(self) -> bool:
        end = self._held.find(END)
        if len(self._head) < HEAD:
            self._head += self._held[: HEAD if end < 0 else min(end, HEAD)]
        if end < 0:
            if len(self._held) > HEAD:
                self._held = self._held[-len(END) :]
            return False
        self._provider.came(self._head)
        self._held, self._head, self._in_data = self._held[end + len(END) :], b"", False
        self._out.append(b"250 2.0.0 Ok\r\n")
        return True

    async def _seal(self) -> None:
        assert self._transport is not None
        transport, loop = self._transport, asyncio.get_running_loop()
        transport.write(b"220 2.0.0 Go on\r\n")
        self._sealed = True
        try:
            sealed = await loop.start_tls(transport, self, self._provider.context, server_side=True)
        except (OSError, ssl.SSLError):
            return
        self._transport = sealed


async def main(port: int, folder: Path, delay: float) -> None:
    """Listen until killed."""
    provider, loop = Provider(folder, delay), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Session(provider), "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2]), float((*sys.argv, "0")[3])))
