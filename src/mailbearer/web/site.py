"""The routes and what they answer, as a Starlette application without a server."""

from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from html import escape

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mailbearer.admin.tokens import CALLBACK_PATH
from mailbearer.errors import MailbearerError

QUERY_MAX = 16 * 1024  # octets of a callback's query; codes of Microsoft take about 1,500
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Windows:
    """What the listener may look at and hand in: ready or not, the metrics, and a browser that comes back."""

    ready: Callable[[], Awaitable[str]]  # empty: ready; else what is missing
    metrics: Callable[[], Awaitable[bytes]]
    come_back: Callable[[str], Awaitable[str]]  # the callback's query, with its “?” → the account that signed in


def build_site(windows: Windows) -> Starlette:
    """Return the application."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("alive\n", headers={"Cache-Control": "no-store"})

    async def readyz(_: Request) -> Response:
        missing = await windows.ready()
        return JSONResponse(
            {"ready": not missing, "missing": missing},
            status_code=503 if missing else 200,
            headers={"Cache-Control": "no-store"},
        )

    async def metrics(_: Request) -> Response:
        return Response(await windows.metrics(), headers={"Content-Type": METRICS_TYPE, "Cache-Control": "no-store"})

    async def callback(request: Request) -> Response:
        query = request.scope["query_string"].decode("latin-1")  # never the address: its host is what the asker says
        if len(query) > QUERY_MAX:
            return page("This address is too long.", "Start the sign-in again.", status=414)
        try:
            account = await windows.come_back(f"?{query}")
        except MailbearerError as error:
            return page(error.message, error.hint, code=error.code, status=400)
        return page("Signed in.", f"The token for {account} is retrieved. You may close this page.")

    site = Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route(CALLBACK_PATH, callback),
        ]
    )
    site.router.redirect_slashes = False  # it would send the browser to whatever host the asker named
    return site


_STYLE = """
:root{color-scheme:light dark}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:#f6f4ef;color:#1b1d22;
font:15px/1.55 system-ui,sans-serif}
main{max-width:30rem;margin:1rem;padding:2rem;background:#fff;border:1px solid #e5e1d8;border-radius:16px}
h1{margin:0 0 .5rem;font-size:21px;font-weight:650}p{margin:0}small{display:block;margin-top:1rem;color:#666973}
@media(prefers-color-scheme:dark){body{background:#121419;color:#eceae5}main{background:#191c22;border-color:#2c313a}
small{color:#9a9ea8}}
"""


def page(title: str, text: str, *, code: str = "", status: int = 200) -> HTMLResponse:
    """Return one calm page that says ``title`` and ``text``; both are escaped."""
    digest = b64encode(sha256(_STYLE.encode()).digest()).decode()
    headers = {name: value.format(digest=digest) for name, value in SECURITY_HEADERS.items()}
    reference = f"<small>{escape(code)}</small>" if code else ""
    return HTMLResponse(
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)} · Mailbearer</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1><p>{escape(text)}</p>{reference}</main></body></html>",
        status_code=status,
        headers=headers,
    )
