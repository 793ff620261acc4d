"""Sessions at the mail servers by the standard library's clients: independent of everything of ours."""

import base64
import imaplib
import poplib
import smtplib
import ssl
from dataclasses import dataclass

TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Sasl:
    """XOAUTH2 or OAUTHBEARER (RFC 7628) for ``user`` with ``token``."""

    user: str
    token: str
    mechanism: str = "XOAUTH2"

    @property
    def first(self) -> str:
        """The client's first response."""
        if self.mechanism == "XOAUTH2":
            return f"user={self.user}\x01auth=Bearer {self.token}\x01\x01"
        return f"n,a={self.user},\x01auth=Bearer {self.token}\x01\x01"

    @property
    def last(self) -> str:
        """The client's response to the challenge that says why not."""
        return "" if self.mechanism == "XOAUTH2" else "\x01"


def smtp(port: int, sasl: Sasl, tls: ssl.SSLContext, *, implicit: bool) -> smtplib.SMTP:
    """Connect to ``localhost`` over TLS and sign in, in two steps.

    Raises:
        smtplib.SMTPAuthenticationError: refused; its note is the challenge that said why.
    """
    session = (
        smtplib.SMTP_SSL("localhost", port, timeout=TIMEOUT, context=tls)
        if implicit
        else smtplib.SMTP("localhost", port, timeout=TIMEOUT)
    )
    challenges: list[bytes] = []

    def respond(challenge: bytes | None = None) -> str:
        challenges.append(challenge or b"")
        return sasl.first if len(challenges) == 1 else sasl.last

    try:
        if not implicit:
            session.starttls(context=tls)
        session.ehlo()
        session.auth(sasl.mechanism, respond, initial_response_ok=False)
    except smtplib.SMTPAuthenticationError as refused:
        session.close()
        refused.add_note(b"".join(challenges[1:]).decode())
        raise
    except BaseException:
        session.close()
        raise
    return session


def pop(port: int, sasl: Sasl, tls: ssl.SSLContext, *, implicit: bool) -> poplib.POP3:
    """Connect to ``localhost`` over TLS and sign in, in two steps.

    Raises:
        poplib.error_proto: refused.
    """
    session = (
        poplib.POP3_SSL("localhost", port, timeout=TIMEOUT, context=tls)
        if implicit
        else poplib.POP3("localhost", port, timeout=TIMEOUT)
    )
    try:
        if not implicit:
            session.stls(context=tls)
        _command(session, f"AUTH {sasl.mechanism}")
        if _command(session, _base64(sasl.first)).startswith(b"+ "):  # the challenge that says why not
            _command(session, _base64(sasl.last))
    except BaseException:
        session.close()
        raise
    return session


def imap(port: int, sasl: Sasl, tls: ssl.SSLContext) -> imaplib.IMAP4:
    """Connect to ``localhost`` with implicit TLS and sign in.

    Raises:
        imaplib.IMAP4.error: refused.
    """
    session = imaplib.IMAP4_SSL("localhost", port, ssl_context=tls, timeout=TIMEOUT)
    responses = iter((sasl.first.encode(), sasl.last.encode()))
    try:
        session.authenticate(sasl.mechanism, lambda _challenge: next(responses))
    except BaseException:
        session.shutdown()
        raise
    return session


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _command(session: poplib.POP3, line: str) -> bytes:
    answer: bytes = session._shortcmd(line)  # type: ignore[attr-defined]
    return answer
