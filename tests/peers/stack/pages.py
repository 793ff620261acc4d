"""What a person does in a browser at the authorization server: open a page, type, press the button."""

import html
import http.cookiejar
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPMessage, HTTPResponse
from typing import IO


@dataclass(frozen=True, slots=True)
class Page:
    """Where the browser is: ``location`` is set when it was sent to an address that is not the provider's."""

    status: int
    url: str
    location: str
    text: str

    @property
    def words(self) -> str:
        """What a person reads."""
        return " ".join(
            html.unescape(re.sub(r"<(style|title).*?</\1>|<[^>]+>", " ", self.text, flags=re.DOTALL)).split()
        )


class _StayAtHome(urllib.request.HTTPRedirectHandler):
    """Follows redirects inside the provider and stops at the application's redirect address."""

    def __init__(self, home: str) -> None:
        self.home = home

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.startswith(self.home):
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Browser:
    """One browser window with its own cookies."""

    def __init__(self, issuer: str, tls: ssl.SSLContext) -> None:
        self.issuer = issuer
        jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(rfc2965=False))
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=tls),
            urllib.request.HTTPCookieProcessor(jar),
            urllib.request.ProxyHandler({}),
            _StayAtHome(issuer),
        )

    def open(self, url: str, form: dict[str, str] | None = None) -> Page:
        """Go to ``url``, or send ``form`` to it."""
        body = urllib.parse.urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(url, body, {"Accept": "text/html"})  # noqa: S310 - always the test stack
        try:
            response = self._opener.open(request, timeout=20)
        except urllib.error.HTTPError as answer:  # also a redirect that is not followed
            return self._page(answer, answer.headers.get("Location", ""))
        return self._page(response, "")

    @staticmethod
    def _page(response: HTTPResponse | urllib.error.HTTPError, location: str) -> Page:
        with response:
            return Page(response.status or 0, response.url, location, response.read().decode())

    def sign_in(self, page: Page, account: str, *, deny: bool = False) -> Page:
        """Fill in the login page, and accept what is asked for on the next; or press Cancel."""
        for _ in range(4):
            found = re.search(r'action="(/interaction/[\w-]+/)(login|consent)"', page.text)
            if not found or page.location:
                break
            button = "deny" if deny else found[2]
            form = {"login": account} if button == "login" else {}
            page = self.open(urllib.parse.urljoin(page.url, found[1] + button), form)
        return page

    def press_continue(self, page: Page, **more: str) -> Page:
        """Send the first form of ``page`` as it stands, with ``more`` fields."""
        found = re.search(r'<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>', page.text, re.DOTALL)
        if not found:
            raise RuntimeError(f"no form on the page: {page.words}")
        fields = re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', found[2])
        form = {name: html.unescape(value) for name, value in fields}
        return self.open(urllib.parse.urljoin(page.url, html.unescape(found[1])), form | more)
