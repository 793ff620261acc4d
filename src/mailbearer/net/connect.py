"""Opening a connection: addresses are tried in turn, each 250 ms after the one before (RFC 8305, "happy eyeballs")."""

import asyncio
import errno
import os
import socket

from mailbearer.clock import Clock
from mailbearer.errors import ConnectError
from mailbearer.model.service import TlsMode
from mailbearer.net import tls
from mailbearer.net.resolve import Address, resolve
from mailbearer.net.route import Route
from mailbearer.net.stream import Stream

CONNECT_SECONDS = 30.0
HEAD_START_SECONDS = 0.25  # RFC 8305 section 5


async def connect(route: Route, clock: Clock) -> Stream:
    """Return a connection to the server of ``route``, inside TLS when the route says so from the start.

    Raises:
        ConnectError: S01 to S04 no connection, S06 to S08 and S10 none that may be used.
    """
    stream = await open_stream(await resolve(route), route)
    return await secure(stream, clock) if route.tls is TlsMode.IMPLICIT else stream


async def open_stream(addresses: tuple[Address, ...], route: Route) -> Stream:
    """Return a plain connection to the first of ``addresses`` that answers.

    Raises:
        ConnectError: refused (S03), or no answer (S04).
    """
    race = _Race(addresses)
    try:
        async with asyncio.timeout(route.patience(CONNECT_SECONDS)):
            await race.run()
    except TimeoutError as late:
        race.failures.append(late)
    except BaseException:
        race.close()
        raise
    if race.winner:
        return Stream(race.winner, route)
    refused = any(isinstance(failure, ConnectionRefusedError) for failure in race.failures)
    detail = "; ".join(dict.fromkeys(os.strerror(failure.errno or errno.ETIMEDOUT) for failure in race.failures))
    raise ConnectError(route.code(3 if refused else 4), host=route.host, port=route.port, detail=detail)


async def secure(stream: Stream, clock: Clock) -> Stream:
    """Return a new stream that speaks TLS on the same connection, with chain and name verified."""
    route = stream.route
    try:
        context = tls.client_context(route.ca_file)
        return await stream.start_tls(context, route.host, now=clock.now())
    except BaseException:
        stream.abort()
        raise


class _Race:
    """Tries addresses side by side; the first connection wins, the others are closed."""

    def __init__(self, addresses: tuple[Address, ...]) -> None:
        self._addresses = addresses
        self.winner: socket.socket | None = None
        self.failures: list[OSError] = []

    async def run(self) -> None:
        under_way: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            for address in self._addresses:
                under_way.add(group.create_task(self._attempt(address)))
                under_way = await _until_one_ends(under_way, HEAD_START_SECONDS)
                if self.winner:
                    break
            while under_way and not self.winner:
                under_way = await _until_one_ends(under_way, None)
            for attempt in under_way:
                attempt.cancel()

    def close(self) -> None:
        if self.winner:
            self.winner.close()

    async def _attempt(self, address: Address) -> None:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
        except OSError as failure:
            self.failures.append(failure)
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            if self.winner:
                sock.close()
            else:
                self.winner = sock


async def _until_one_ends(under_way: set[asyncio.Task[None]], seconds: float | None) -> set[asyncio.Task[None]]:
    _, rest = await asyncio.wait(under_way, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    return rest
