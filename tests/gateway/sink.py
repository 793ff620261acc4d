"""A mail server that takes everything and counts it, in a thread of its own: the provider behind the gateway."""

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

PATIENCE = 60.0
_ID = re.compile(rb"^Message-ID: <([^>]*)>\r$", re.MULTILINE | re.IGNORECASE)


class Sink:
    """``with Sink() as sink:``; ``copies`` counts by Message-ID. A message counts before it is answered."""

    port: int

    def __init__(self) -> None:
        self.copies: Counter[str] = Counter()
        self.recipients: Counter[str] = Counter()
        self.bodies: dict[str, bytes] = {}
        self.keep_bodies = False
        self.spoilt: list[str] = []  # messages that are not what was sent
        self.repeated: list[str] = []  # messages that came twice from one process
        self.check: Callable[[str, bytes], bool] = lambda _name, _body: True
        self.round = 0
        self._seen: set[tuple[int, str]] = set()
        self.is_open = True
        self.talks: set[_Talk] = set()
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(PATIENCE)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        server = await self._loop.create_server(lambda: _Talk(self), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()
        self._end_all()

    def _end_all(self) -> None:
        for talk in tuple(self.talks):
            talk.end()

    def next_round(self) -> None:
        """Whoever connects from now on is another process."""
        self.round += 1

    def shut(self) -> None:
        """Take nothing more: whoever is or gets connected is sent away."""
        self.is_open = False
        self._loop.call_soon_threadsafe(self._end_all)

    def open(self) -> None:
        """Take mail again."""
        self.is_open = True

    def wait_for(self, happened: Callable[[], bool], *, at_most: float = PATIENCE) -> bool:
        """Wait until ``happened`` is true after a message came; tell whether it is."""
        with self._changed:
            return self._changed.wait_for(happened, at_most)

    def wait_for_more(self, messages: int, *, at_most: float = PATIENCE) -> bool:
        """Wait until so many more came."""
        wanted = self.copies.total() + messages
        return self.wait_for(lambda: self.copies.total() >= wanted, at_most=at_most)

    def take(self, talk: "_Talk", content: bytes) -> None:
        found = _ID.search(content)
        name = found[1].decode() if found else ""
        with self._changed:
            if (talk.round, name) in self._seen:
                self.repeated.append(name)
            self._seen.add((talk.round, name))
            if not self.check(name, content.partition(b"\r\n\r\n")[2]):
                self.spoilt.append(name)
            if self.keep_bodies:
                self.bodies[name] = content
            self.recipients.update(talk.recipients)
            self.copies[name] += 1
            self._changed.notify_all()


class _Talk(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._held = bytearray()
        self._in_message = False
        self.recipients: list[str] = []
        self.round = sink.round

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sink.talks.add(self)
        if self._sink.is_open:
            transport.write(b"220 sink ESMTP\r\n")
        else:
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - whatever the reason
        self._sink.talks.discard(self)

    def end(self) -> None:
        self._transport.write(b"421 4.3.2 closed\r\n")
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._held += data
        with suppress(ValueError):  # what is left is not complete
            while not self._transport.is_closing():
                end = self._held.index(b"\r\n.\r\n" if self._in_message else b"\r\n")
                found = bytes(self._held[: end + 2])
                del self._held[: end + (5 if self._in_message else 2)]
                self._transport.write(self._message(found) if self._in_message else self._command(found))

    def _message(self, content: bytes) -> bytes:
        self._in_message = False
        self._sink.take(self, content.replace(b"\r\n..", b"\r\n."))
        self.recipients = []
        return b"250 2.0.0 Ok\r\n"

    def _command(self, line: bytes) -> bytes:
        match line[:4].upper():
            case b"EHLO":
                return b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 0\r\n"
            case b"DATA":
                self._in_message = True
                return b"354 Go on\r\n"
            case b"RCPT":
                self.recipients.append(line.partition(b"<")[2].partition(b">")[0].decode())
                return b"250 2.1.5 Ok\r\n"
            case b"RSET":
                self.recipients = []
                return b"250 2.0.0 Ok\r\n"
            case b"QUIT":
                return b"221 2.0.0 Bye\r\n"
            case _:
                return b"250 2.0.0 Ok\r\n"
