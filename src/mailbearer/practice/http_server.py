"""The practice provider's HTTP side: routes, faults, journal, and uvicorn's protocol inside our own loop."""

import asyncio
import socket
from collections.abc import Callable, Mapping
from email.utils import format_datetime

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from mailbearer.clock import Clock
from mailbearer.errors import AuthorizationError
from mailbearer.practice import pages
from mailbearer.practice.authority import refuse
from mailbearer.practice.endpoints import Endpoints, refusal_response
from mailbearer.practice.faults import Fault, FaultBook, Journal
from mailbearer.practice.forms import MEDIA_TYPE, parse_form, read_body
from mailbearer.practice.sign_in_pages import SignInPages, page_response

HOSTS = ("127.0.0.1", "localhost")  # any other name would be somebody's DNS pointing here

Form = Mapping[str, str]
Handler = Callable[[Request, Form], Response]


class HttpServer:
    """Answers HTTP requests on one socket until closed."""

    def __init__(
        self, endpoints: Endpoints, sign_in_pages: SignInPages, *, faults: FaultBook, journal: Journal, clock: Clock
    ) -> None:
        self._faults = faults
        self._journal = journal
        self._clock = clock
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        trusted = Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS), www_redirect=False)
        self._config = Config(
            Starlette(routes=self._routes(endpoints, sign_in_pages), middleware=[trusted]),
            http=H11Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
        )

    async def open(self, listener: socket.socket) -> None:
        """Begin to answer on ``listener``, which becomes ours."""
        self._config.load()
        self._server = await asyncio.get_running_loop().create_server(self._protocol, sock=listener)

    def close(self) -> None:
        """Stop listening and end every connection and request."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._state.connections):
            connection.transport.abort()
        for task in self._state.tasks:
            task.cancel()

    def _protocol(self) -> H11Protocol:
        return H11Protocol(self._config, self._state, {})

    def _routes(self, endpoints: Endpoints, sign_in_pages: SignInPages) -> list[Route]:
        return [
            self._page("/", sign_in_pages.start),
            self._page("/device", sign_in_pages.device, "POST"),
            self._page("/authorize", sign_in_pages.authorize, "POST"),
            self._page("/practice.css", sign_in_pages.stylesheet),
            self._route("/.well-known/oauth-authorization-server", endpoints.metadata, "GET"),
            self._route("/.well-known/openid-configuration", endpoints.metadata, "GET"),
            self._route("/jwks", endpoints.key_set, "GET"),
            self._route("/device_authorization", endpoints.device_authorization, "POST"),
            self._route("/token", endpoints.token, "POST"),
            self._route("/revoke", endpoints.revoke, "POST"),
            self._route("/userinfo", endpoints.userinfo, "GET", "POST"),
        ]

    def _page(self, path: str, handler: Handler, *methods: str) -> Route:
        def answer(request: Request, form: Form) -> Response:
            origin = request.headers.get("origin")
            if origin is not None and origin != f"{request.url.scheme}://{request.url.netloc}":
                text = "The form came from a page that is not ours."
                return page_response(pages.done("This sign-in cannot go on", text, good=False), status=403)
            return handler(request, form)

        return self._route(path, answer, "GET", *methods)

    def _route(self, path: str, handler: Handler, *methods: str) -> Route:
        async def answer(request: Request) -> Response:
            response = await self._answer(path, handler, request)
            response.headers["Date"] = format_datetime(self._clock.now(), usegmt=True)
            response.headers["Cache-Control"] = "no-store"
            response.headers["X-Content-Type-Options"] = "nosniff"
            return response

        return Route(path, answer, methods=list(methods))

    async def _answer(self, path: str, handler: Handler, request: Request) -> Response:
        """Carry out one request, with what was ordered to go wrong."""
        fault = self._faults.take(path) or Fault()
        if fault.delay:
            await self._clock.sleep(fault.delay)
        form, outcome, response = await _carry_out(request, handler if fault.lets_happen else None)
        if fault.spoils:
            outcome = f"{outcome}, {fault.name}" if outcome else fault.name
            response = self._spoiled(fault)
        self._journal.note(path, form.get("grant_type", ""), outcome)
        return response

    def _spoiled(self, fault: Fault) -> Response:
        if fault.drop:
            return _Dropped(self._hang_up)
        headers = {"content-type": "application/json"} | dict(fault.headers)
        return Response(fault.body, status_code=fault.status or 200, headers=headers)

    def _hang_up(self, client: object) -> None:
        for connection in self._state.connections:
            if connection.transport.get_extra_info("peername") == client:
                connection.transport.abort()


class _Dropped(Response):
    """No answer: the connection ends instead."""

    def __init__(self, hang_up: Callable[[object], None]) -> None:
        super().__init__()
        self._hang_up = hang_up

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        self._hang_up(scope["client"])
        while (await receive())["type"] != "http.disconnect":
            pass


async def _carry_out(request: Request, handler: Handler | None) -> tuple[Form, str, Response]:
    """Return the form, the outcome for the journal and the answer; without ``handler`` only read the request."""
    form: Form = {}
    try:
        form = await _form_of(request)
        if handler is None:
            return form, "", Response()
        return form, "ok", handler(request, form)
    except AuthorizationError as error:
        return form, error.refusal.error, refusal_response(error)


async def _form_of(request: Request) -> Form:
    if request.method != "POST":
        return parse_form(request.url.query.encode())
    body = await read_body(request.stream())
    media_type = request.headers.get("content-type", MEDIA_TYPE).partition(";")[0].strip().lower()
    if body and media_type != MEDIA_TYPE:
        raise refuse("invalid_request", f"The body must be {MEDIA_TYPE}.")
    return parse_form(body)
