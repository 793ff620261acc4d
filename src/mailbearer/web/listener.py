"""The server under the site: uvicorn inside our own loop, on a socket that we bind, with our own signals."""

import asyncio
import errno
import socket
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from mailbearer.errors import InvalidInputError, StoreError

BACKLOG = 128
GRACE = 5  # seconds that open requests get at the end


class _Server(uvicorn.Server):
    """Leaves the process's signals alone: they belong to ``app``."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class WebListener:
    """Serves one application on one address until told to stop; ``port`` is the one that it really listens on."""

    def __init__(self, application: Starlette, host: str, port: int) -> None:
        self._socket = _bind(host, port)
        self.port = int(self._socket.getsockname()[1])
        self._server = _Server(
            uvicorn.Config(
                application,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                timeout_graceful_shutdown=GRACE,
                h11_max_incomplete_event_size=32 * 1024,
                limit_concurrency=500,
            )
        )

    async def serve(self) -> None:
        """Serve until ``stop`` or cancellation."""
        try:
            await self._server.serve([self._socket])
        except asyncio.CancelledError:
            self._server.should_exit = True
            await self._server.shutdown([self._socket])
            raise
        finally:
            self._socket.close()

    def stop(self) -> None:
        """Finish open requests and return from ``serve``."""
        self._server.should_exit = True


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle on
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise StoreError("MB-G08", port=port) from error
        problem = f"{host}:{port} cannot be listened on ({error.strerror or 'no address'})"
        raise InvalidInputError("MB-W05", field="[web] address", problem=problem) from error
    return listener
