"""HTTP to authorization servers, on httpx2. Why that, and what is switched off: docs/decisions/0008.

Which error comes tells a renewal whether the server can have seen the request: a plain ConnectError means it was never
sent, a ConnectionLostError or DeadlineError that it may have been.
"""

import asyncio
import importlib.metadata
import ssl
import zlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mailbearer.errors import (
    AuthorizationUnavailableError,
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    InvalidInputError,
)
from mailbearer.model.http import HttpRequest, HttpResponse
from mailbearer.net import tls
from mailbearer.protocol.oauth.metadata import check_endpoint

if TYPE_CHECKING:
    import httpx2

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 20.0
BODY_MAX = 1024 * 1024  # bytes, after inflating
AGENT = f"Mailbearer/{importlib.metadata.version('mailbearer')}"
_GZIP = 16 + zlib.MAX_WBITS  # zlib's way to ask for a gzip header


class HttpClient:
    """Carries out requests, each on a connection of its own. ``seconds`` bounds one request as a whole."""

    def __init__(self, *, seconds: float = TOTAL_SECONDS) -> None:
        self._seconds = seconds
        self._clients: dict[str, tuple[ssl.SSLContext, httpx2.AsyncClient]] = {}

    async def send(self, request: HttpRequest, *, ca_file: str = "") -> HttpResponse:
        """Return the answer to ``request``, whatever its status; redirects are answers too.

        Raises:
            InvalidInputError: the address is not https, or ``ca_file`` cannot be used; nothing was sent.
            ConnectError: no connection (see above for its children).
            AuthorizationUnavailableError: the answer is larger than ``BODY_MAX`` or cannot be inflated.
        """
        import httpx2  # noqa: PLC0415 - a tenth of a second that `mailbearer --version` need not spend

        host = urlsplit(check_endpoint(request.url)).hostname or ""
        client = self._client(ca_file)
        try:
            async with asyncio.timeout(self._seconds):
                return await _carried_out(client, request, host)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise ConnectError("MB-T01", host=host, problem=_problem(error)) from error
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise DeadlineError("MB-T01", host=host, problem=f"no answer within {self._seconds:g} seconds") from error
        except httpx2.InvalidURL as error:
            raise InvalidInputError("MB-T46", url=request.url) from error
        except httpx2.HTTPError as error:
            raise ConnectionLostError("MB-T01", host=host, problem=_problem(error)) from error

    async def aclose(self) -> None:
        """Close what is open."""
        clients, self._clients = self._clients, {}
        for _, client in clients.values():
            await client.aclose()

    def _client(self, ca_file: str) -> "httpx2.AsyncClient":
        import httpx2  # noqa: PLC0415 - as above

        context = tls.client_context(ca_file)
        if ca_file in self._clients and self._clients[ca_file][0] is context:
            return self._clients[ca_file][1]
        client = httpx2.AsyncClient(
            verify=context,
            trust_env=False,  # no proxy and no .netrc from the environment
            follow_redirects=False,  # a redirect would carry the secrets of the body elsewhere
            timeout=httpx2.Timeout(self._seconds, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_keepalive_connections=0),  # a kept one may be dead, and then: was it read?
            headers={"user-agent": AGENT, "accept-encoding": "identity"},
        )
        self._clients[ca_file] = (context, client)
        return client


async def _carried_out(client: "httpx2.AsyncClient", request: HttpRequest, host: str) -> HttpResponse:
    sent = client.stream(request.method, request.url, headers=dict(request.headers), content=request.body or None)
    async with sent as answer:
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > BODY_MAX:
                raise _strange(host, "too large")
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return HttpResponse(answer.status_code, headers, _inflated(bytes(body), headers, host))


def _inflated(body: bytes, headers: dict[str, str], host: str) -> bytes:
    """Undo a compression that nobody asked for, without ever making more than ``BODY_MAX`` of it."""
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding in {"identity", ""}:
        return body
    if coding not in {"gzip", "x-gzip"}:
        raise _strange(host, f"compressed by {coding[:20]}")
    inflater = zlib.decompressobj(_GZIP)
    try:
        plain = inflater.decompress(body, BODY_MAX)
    except zlib.error as error:
        raise _strange(host, "compressed wrongly") from error
    if not inflater.eof:
        raise _strange(host, "too large, or cut off")
    return plain


def _strange(host: str, problem: str) -> AuthorizationUnavailableError:
    return AuthorizationUnavailableError("MB-T44", host=host, problem=problem)


def _problem(error: Exception) -> str:
    """Return in a few words why there was no connection; a certificate's fault is deep down in the causes."""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return tls.handshake_problem(cause)
        cause = cause.__cause__ or cause.__context__
    return str(error) or "the connection was closed"
