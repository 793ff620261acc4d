"""Getting a token from a terminal: what the person sees, and the three ways by which a code comes back (SPEC 4.2)."""

import contextlib
import selectors
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import click

from mailbearer.admin.speech import Json
from mailbearer.cli.ask import PASTE_MAX, held, perform, served, text
from mailbearer.cli.loopback import Loopback
from mailbearer.cli.paint import as_json, bold, dim, over, show_error, until, wrapped
from mailbearer.errors import MailbearerError

PASSED_OVER = frozenset({"MB-T18", "MB-T43"})  # an address that is not ours to take: what is under way goes on
GONE = frozenset({"MB-W24"})  # the service stopped meanwhile; the sign-in is in the store


class SignIn:
    """One sign-in, from asking the provider to the end; use as a context manager, it closes its loopback listener."""

    def __init__(self, folder: Path, service: str, *, machine: bool, open_browser: bool) -> None:
        self._folder = folder
        self._service = service
        self._machine = machine
        self._open_browser = open_browser
        self._loopback: Loopback | None = None
        self._plan: dict[str, Json] = {}
        self._pending: dict[str, Json] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loopback is not None:
            self._loopback.close()

    @property
    def begun(self) -> bool:
        """The sign-in is under way; it goes on without this command."""
        return bool(self._pending)

    def plan(self, flow: str) -> None:
        """See whether a sign-in can begin, and how it would go; nothing happens yet."""
        self._plan = perform(self._folder, "token.plan", {"service": self._service, "flow": flow})

    def begin(self, flow: str, *, replace: bool) -> None:
        """Ask the provider, and show code or link."""
        arguments: dict[str, Json] = {"service": self._service, "flow": flow, "replace": replace}
        if text(self._plan, "flow") == "code" and not text(self._plan, "redirect_uri"):
            self._loopback = Loopback(text(self._plan, "loopback_host"))
            arguments["redirect_uri"] = self._loopback.address
        result = perform(self._folder, "token.get", arguments)
        self._pending = held(result, "pending")
        if self._machine:
            as_json(result, lines=True)
        else:
            self._show()

    def _show(self) -> None:
        pending = self._pending
        if text(pending, "flow") == "device":
            _show_code(pending)
        else:
            _show_link(pending, own_callback=self._loopback is None)
        url = text(pending, "verification_uri_complete") or text(pending, "verification_uri")
        if self._open_browser:
            click.launch(url or text(pending, "authorization_url"))

    def wait(self) -> dict[str, Json]:
        """Wait until the token is there and return its facts.

        Raises:
            MailbearerError: the sign-in was refused, ran out or was cancelled.
        """
        if self._loopback is None:
            return self._wait_for_provider()
        return self._wait_for_browser(self._loopback)

    def _wait_for_provider(self) -> dict[str, Json]:
        if not self._machine:
            click.echo(
                dim(f"Waiting until you have signed in; the code ends {until(self._pending.get('expires_at'))}."),
                err=True,
            )
        return wait_for_provider(self._folder, self._service)

    def _wait_for_browser(self, loopback: Loopback) -> dict[str, Json]:
        """Take what comes first: the browser at the loopback address, an address pasted here, or another surface."""
        with selectors.DefaultSelector() as selector, self._elsewhere() as elsewhere:
            selector.register(loopback.socket, selectors.EVENT_READ, "browser")
            with contextlib.suppress(PermissionError, ValueError, OSError):  # a file or nothing as standard input
                selector.register(sys.stdin, selectors.EVENT_READ, "paste")
            while True:
                if elsewhere.done.is_set():
                    return elsewhere.outcome()
                if over(self._pending.get("expires_at")):
                    return self._wait_for_provider()
                for key, _ in selector.select(timeout=0.5):
                    address = loopback.receive() if key.data == "browser" else _pasted(selector)
                    if address and (result := self._hand_in(address, loopback)):
                        return result

    def _hand_in(self, address: str, loopback: Loopback) -> dict[str, Json]:
        """Hand in an address; nothing comes back when it was none of ours, and the right one may still come."""
        try:
            result = perform(self._folder, "token.redirect", {"url": address, "service": self._service})
        except MailbearerError as error:
            loopback.answer(error.message, error.hint)
            if error.code not in PASSED_OVER:
                raise
            show_error(error)
            return {}
        loopback.answer("Signed in.", f"The token for {text(result, 'account')} is retrieved. You may close this page.")
        return result

    def _elsewhere(self) -> "_Elsewhere":
        return _Elsewhere(self._folder, self._service)


def wait_for_provider(folder: Path, service: str) -> dict[str, Json]:
    """Wait for the end of the sign-in of ``service``; when the service is stopped meanwhile, go on without it.

    Raises:
        MailbearerError: the sign-in was refused, ran out, was cancelled, or none is under way.
    """
    try:
        return perform(folder, "token.wait", {"service": service})
    except MailbearerError as error:
        if error.code not in GONE:
            raise
    return perform(folder, "token.wait", {"service": service})


class _Elsewhere:
    """Watches, when a service runs, whether the sign-in ends on another surface meanwhile."""

    def __init__(self, folder: Path, service: str) -> None:
        self.done = threading.Event()
        self._folder, self._service = folder, service
        self._result: dict[str, Json] = {}
        self._error: MailbearerError | None = None

    def __enter__(self) -> Self:
        if served(self._folder):
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the watcher to its daemon thread: it ends with this process."""

    def _watch(self) -> None:
        try:
            self._result = wait_for_provider(self._folder, self._service)
        except MailbearerError as error:
            self._error = error
        self.done.set()

    def outcome(self) -> dict[str, Json]:
        """Return what the service said, or raise it."""
        if self._error is not None:
            raise self._error
        return self._result


def _pasted(selector: selectors.BaseSelector) -> str:
    line = sys.stdin.readline(PASTE_MAX)
    if not line:  # end of input: only the browser can bring the code now
        selector.unregister(sys.stdin)
    return line.strip()


def _show_code(pending: dict[str, Json]) -> None:
    uri, complete = text(pending, "verification_uri"), text(pending, "verification_uri_complete")
    click.echo(f"\n  Open     {bold(uri)}")
    click.echo(f"  Code     {click.style(text(pending, 'user_code'), fg='cyan', bold=True)}\n")
    _show_qr(complete or uri)
    if not complete:
        click.echo(dim("  The QR code opens the page; the code is typed there."))
    warning = text(pending, "warning")
    if warning:
        click.echo(wrapped(f"! {warning}", indent="  ", hang="    "))


def _show_link(pending: dict[str, Json], *, own_callback: bool) -> None:
    click.echo(f"\nOpen this address in a browser and sign in:\n\n  {bold(text(pending, 'authorization_url'))}\n")
    if own_callback:
        click.echo(dim("The browser comes back to Mailbearer by itself."))
    else:
        click.echo(
            "In a browser on this computer it ends by itself. In a browser elsewhere the last page does not load:\n"
            "copy its whole address and paste it here.\n"
        )


def _show_qr(address: str) -> None:
    import segno

    if sys.stdout.isatty():
        segno.make(address, error="m", micro=False).terminal(compact=True, border=2)
