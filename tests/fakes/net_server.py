"""Small real servers: a coroutine that speaks with each client over a socket of this machine, word by word."""

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from mailbearer.model.service import TlsMode
from mailbearer.net.route import Route
from tests.fakes.net_certificates import ca_file


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        writer.transport.set_write_buffer_limits(1)  # ``send`` returns when the system has everything

    async def say(self, *lines: str) -> None:
        await self.send("".join(f"{line}\r\n" for line in lines).encode())

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self) -> str:
        """Return the next line of the client without its end, empty at the end of the connection."""
        return (await self.reader.readline()).decode(errors="replace").rstrip("\r\n")

    async def hear_message(self) -> bytes:
        return await self.reader.readuntil(b"\r\n.\r\n")

    async def start_tls(self, context: ssl.SSLContext) -> None:
        await self.writer.start_tls(context)

    async def stall(self) -> None:
        """Say nothing any more until the client goes."""
        while await self.reader.read(65536):
            pass

    def cut(self) -> None:
        """End the connection without TLS's close_notify, as many servers do."""
        with socket.socket(fileno=os.dup(self.writer.get_extra_info("socket").fileno())) as own:
            own.shutdown(socket.SHUT_WR)

    def drop(self) -> None:
        """End the connection the hard way: RST instead of FIN, no close_notify."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Talk = Callable[[Peer], Awaitable[None]]


@dataclass
class Serving:
    """A server that runs. ``seen`` is for what the talk wants to remember."""

    port: int
    seen: list[str] = field(default_factory=list)
    connections: int = 0

    def route(self, tls: TlsMode = TlsMode.OFF, *, letter: str = "S", host: str = "localhost", ca: str = "") -> Route:
        return Route(host, self.port, tls, ca or ca_file(), letter=letter)


@contextlib.asynccontextmanager
async def serving(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[Serving]:
    """Let ``talk`` speak with everybody who connects; what goes wrong in it, but for lost connections, is raised."""
    failures: list[BaseException] = []
    talks: set[asyncio.Task[None]] = set()

    async def on_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await talk(Peer(reader, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except BaseException as failure:  # noqa: BLE001 - raised in the test
            failures.append(failure)
        finally:
            writer.close()

    server = await asyncio.start_server(on_client, "127.0.0.1", 0, ssl=tls, limit=2**24)
    state = Serving(server.sockets[0].getsockname()[1])
    try:
        yield state
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
    if failures:
        raise failures[0]
