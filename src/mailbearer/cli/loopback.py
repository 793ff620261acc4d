"""A listener on the person's own computer to which the provider sends the browser back (RFC 8252 section 7.3)."""

import re
import socket
from html import escape

from mailbearer.errors import StoreError

REQUEST_MAX = 32 * 1024  # octets of a request's head
WAIT = 2.0  # seconds that a browser gets to send its request; many open a connection in advance and say nothing
_REQUEST = re.compile(rb"GET (/[\x21-\x7e]*) HTTP/1\.[01]\r\n")


class Loopback:
    """Listens on 127.0.0.1, on a free port. ``host`` is how the address names it: 127.0.0.1, or localhost."""

    def __init__(self, host: str = "") -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._browser: socket.socket | None = None
        try:
            self.socket.bind(("127.0.0.1", 0))
            self.socket.listen(8)
        except OSError as error:
            self.socket.close()
            raise StoreError("MB-G08", port="any") from error
        self.address = f"http://{host or '127.0.0.1'}:{self.socket.getsockname()[1]}/"

    def receive(self) -> str:
        """Accept one browser and return the whole address it asks for; empty when it is no sign-in coming back."""
        browser, _ = self.socket.accept()
        browser.settimeout(WAIT)
        head = bytearray()
        try:
            while b"\r\n\r\n" not in head and len(head) < REQUEST_MAX:
                data = browser.recv(4096)
                if not data:
                    break
                head += data
        except OSError:
            head.clear()
        found = _REQUEST.match(head)
        path = found[1].decode("ascii") if found else ""
        if "?" not in path:  # a favicon, a probe
            _send(browser, 404, "Nothing here.", "")
            return ""
        self._browser = browser
        return self.address.removesuffix("/") + path

    def answer(self, title: str, words: str) -> None:
        """Tell the browser that came back how it ended."""
        if self._browser is not None:
            _send(self._browser, 200, title, words)
            self._browser = None

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()
        if self._browser is not None:
            self._browser.close()


def _send(browser: socket.socket, status: int, title: str, words: str) -> None:
    body = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
        f"<h1>{escape(title)}</h1><p>{escape(words)}</p></html>"
    ).encode()
    head = (
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Not Found'}\r\nContent-Type: text/html; charset=utf-8\r\n"
        "Content-Security-Policy: default-src 'none'\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with browser:
        try:
            browser.sendall(head.encode() + body)
        except OSError:
            return
