"""The test stack as a test sees it: a provider whose accounts, tokens, mailboxes and faults it commands.

Everything here blocks; a test on an event loop that has to stay free calls it through ``asyncio.to_thread``. Any
address is an account and any account has a mailbox. All addresses of ``Stack.ports`` are on 127.0.0.1.
"""

import contextlib
import json
import poplib
import smtplib
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

from tests.peers.stack import mail
from tests.peers.stack.answers import Answer, Entry, Tokens, read_answer, read_journal, read_tokens
from tests.peers.stack.children import HOST
from tests.peers.stack.pages import Browser, Page
from tests.peers.stack.servers import DEVICE_GRANT, Servers, running

MAIL_SCOPE = "openid offline_access email mail"
LOOPBACK = "http://127.0.0.1:18080/callback"


class Stack:
    """A running provider; ``with Stack.started() as stack``, in tests the fixture ``stack``."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.ports = servers.ports
        self.issuer = servers.issuer
        self.ca_file = servers.ca_file
        self.password = servers.password
        self.clients = servers.clients
        self.tls = ssl.create_default_context(cafile=str(self.ca_file))
        self.token_endpoint = f"{self.issuer}/token"
        self.authorization_endpoint = f"{self.issuer}/auth"
        self.device_authorization_endpoint = f"{self.issuer}/device/auth"
        self.revocation_endpoint = f"{self.issuer}/token/revocation"
        self.userinfo_endpoint = f"{self.issuer}/me"
        self.discovery = f"{self.issuer}/.well-known/openid-configuration"

    @classmethod
    @contextlib.contextmanager
    def started(cls) -> Iterator["Stack"]:
        """Run the servers; ready means that a minted token has signed in at Postfix and Dovecot."""
        with running() as servers:
            stack = cls(servers)
            servers.wait_until(stack._prove)
            stack.reset()
            yield stack

    def _prove(self) -> None:
        token = self.mint("probe@test.example").access
        self.smtp("probe@test.example", token).quit()
        self.pop("probe@test.example", token).quit()

    # -- the administrator of the provider ---------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget faults, policy, journal and disabled accounts; tokens and mail stay."""
        self._admin("/reset", {})

    def policy(self, **changes: object) -> None:
        """Change the policy until the next reset; the names stand at the top of ``oauth/server.mjs``."""
        self._admin("/policy", changes)

    def mint(
        self, account: str, client: str = "native-public", *, ttl: int = 3600, refresh_ttl: int = 3600, scope: str = ""
    ) -> Tokens:
        """Make tokens for ``account`` without a sign-in."""
        asked = {"account": account, "client_id": client, "ttl": ttl, "refresh_ttl": refresh_ttl}
        return read_tokens(self._admin("/mint", {**asked, "refresh": True, "scope": scope or MAIL_SCOPE}))

    def approve(self, user_code: str, account: str, *, scope: str = "") -> None:
        """Say yes for the person, without the pages; ``scope`` is what is granted instead of what was asked."""
        self._admin(
            "/device/approve", {"user_code": user_code, "account": account, **({"scope": scope} if scope else {})}
        )

    def deny(self, user_code: str) -> None:
        """Say no for the person, without the pages."""
        self._admin("/device/deny", {"user_code": user_code})

    def pending(self) -> list[str]:
        """Return the user codes that nobody has answered."""
        return [str(code) for code in json.loads(self._open(f"{self.servers.admin_url}/device/pending")[1])]

    def disable(self, account: str) -> None:
        """Let ``account`` neither sign in, nor renew, nor use a token."""
        self._admin("/disable", {"account": account})

    def enable(self, account: str) -> None:
        """Take ``disable`` back."""
        self._admin("/enable", {"account": account})

    def revoke(self, account: str, *, keep_refresh: bool = False) -> int:
        """Make all tokens of ``account`` worthless, or only its access tokens; return how many."""
        return self._admin("/revoke", {"account": account, "keep_refresh": keep_refresh}).number("revoked")

    def fault(
        self,
        path: str,
        *,
        status: int = 0,
        body: object = None,
        headers: dict[str, str] | None = None,
        delay: float = 0.0,
        drop: bool = False,
        lose: bool = False,
        count: int = 1,
    ) -> None:
        """Make the next ``count`` calls of ``path`` fail (-1: until the next reset).

        ``status`` with ``body`` and ``headers``: this is answered, and nothing is done. ``drop``: the connection is
        closed, and nothing is done. ``lose``: all is done and the connection is closed instead of the answer.
        ``delay``: seconds before anything of it.
        """
        fault: dict[str, object] = {
            "path": path,
            "count": count,
            "delay_ms": int(delay * 1000),
            "drop": drop,
            "lose": lose,
        }
        if status:
            fault |= {"status": status, "headers": headers or {}} | ({"body": body} if body is not None else {})
        self._admin("/fault", fault)

    def clear_faults(self) -> None:
        """Forget the faults that are still due."""
        self._admin("/fault/clear", {})

    def journal(self, path: str = "") -> list[Entry]:
        """Return what was asked since the last reset, at ``path`` or at all endpoints but Dovecot's own."""
        calls = read_journal(self._open(f"{self.servers.admin_url}/journal")[1])
        return [call for call in calls if (call.path == path if path else call.path != "/token/introspection")]

    # -- a person at a browser ---------------------------------------------------------------------------------------

    def browser(self) -> Browser:
        """Open a browser window without cookies."""
        return Browser(self.issuer, self.tls)

    def device_page(self, user_code: str, account: str, *, deny: bool = False) -> Page:
        """Do on the real pages what a person with a user code does; return the page where it ends."""
        browser = self.browser()
        page = browser.open(f"{self.issuer}/device?user_code={urllib.parse.quote(user_code)}")
        page = browser.press_continue(page)  # a form that sends itself where there is JavaScript
        page = browser.press_continue(page)  # "Continue" beside the name of the device
        return browser.sign_in(page, account, deny=deny)

    def sign_in(self, authorization_url: str, account: str, *, deny: bool = False) -> str:
        """Open the address, sign in and accept (or cancel); return the redirect address with the code, unvisited."""
        browser = self.browser()
        page = browser.sign_in(browser.open(authorization_url), account, deny=deny)
        if not page.location:
            raise RuntimeError(f"no redirect to the application, but: {page.words}")
        return page.location

    # -- an application ----------------------------------------------------------------------------------------------

    def ask(self, endpoint: str, client: str, **form: str) -> Answer:
        """Send ``form`` to an endpoint as ``client`` does."""
        secret = self.clients[client].secret
        form |= {"client_id": client} | ({"client_secret": secret} if secret else {})
        return read_answer(*self._open(endpoint, urllib.parse.urlencode(form).encode()))

    def begin_device(self, client: str = "device-public", scope: str = MAIL_SCOPE) -> Answer:
        """Ask for a device code and a user code (RFC 8628 section 3.1)."""
        return self.ask(self.device_authorization_endpoint, client, scope=scope)

    def poll(self, device_code: str, client: str = "device-public") -> Answer:
        """Ask once whether the person has signed in (RFC 8628 section 3.4)."""
        return self.ask(self.token_endpoint, client, grant_type=DEVICE_GRANT, device_code=device_code)

    def renew(self, refresh_token: str, client: str = "native-public") -> Answer:
        """Use a refresh token (RFC 6749 section 6)."""
        return self.ask(self.token_endpoint, client, grant_type="refresh_token", refresh_token=refresh_token)

    # -- mail --------------------------------------------------------------------------------------------------------

    def smtp(self, user: str, token: str, mechanism: str = "XOAUTH2", *, port: str = "smtp") -> smtplib.SMTP:
        """Sign in at the port of that name: ``smtp``, ``smtps`` or ``submission``."""
        return mail.smtp(
            getattr(self.ports, port), mail.Sasl(user, token, mechanism), self.tls, implicit=port == "smtps"
        )

    def pop(self, user: str, token: str, mechanism: str = "XOAUTH2", *, port: str = "pop3s") -> poplib.POP3:
        """Sign in at the port of that name: ``pop3`` (STLS) or ``pop3s``."""
        return mail.pop(
            getattr(self.ports, port), mail.Sasl(user, token, mechanism), self.tls, implicit=port == "pop3s"
        )

    def deliver(self, recipient: str, message: bytes, *, sender: str = "outside@elsewhere.example") -> None:
        """Bring ``message`` to a mailbox as mail from the Internet does."""
        with smtplib.SMTP(HOST, self.ports.mx, timeout=mail.TIMEOUT) as session:
            session.sendmail(sender, [recipient], message)

    def mailbox(self, account: str) -> list[bytes]:
        """Return the messages in a mailbox, as they stand there (CRLF), and leave them."""
        session = self.pop(account, self.mint(account).access)
        try:
            count, _ = session.stat()
            return [b"".join(line + b"\r\n" for line in session.retr(number + 1)[1]) for number in range(count)]
        finally:
            session.quit()

    def count(self, account: str) -> int:
        """Return how many messages are in a mailbox."""
        session = self.pop(account, self.mint(account).access)
        try:
            return session.stat()[0]
        finally:
            session.quit()

    def wait_for_mail(self, account: str, count: int = 1, *, at_most: float = 10.0) -> list[bytes]:
        """Wait until ``count`` messages are in the mailbox: delivery inside the provider takes its time."""
        until = time.monotonic() + at_most
        while len(messages := self.mailbox(account)) < count:
            if time.monotonic() > until:
                raise RuntimeError(f"{len(messages)} of {count} messages for {account}\n{self.servers.logs('postfix')}")
            time.sleep(0.05)
        return messages

    # -- HTTP --------------------------------------------------------------------------------------------------------

    def _admin(self, path: str, body: dict[str, object]) -> Answer:
        answer = read_answer(*self._open(self.servers.admin_url + path, json.dumps(body).encode()))
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.text('error')}")
        return answer

    def _open(self, url: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Send one request, whatever proxies the environment names; return status and body."""
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=self.tls), urllib.request.ProxyHandler({})
        )
        try:
            with opener.open(url, body, timeout=30) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.read()
