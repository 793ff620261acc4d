"""XOAUTH2, the mechanism that Google and Microsoft made before RFC 7628; the one that Exchange Online takes.

https://developers.google.com/workspace/gmail/imap/xoauth2-protocol
"""

from mailbearer.model.secret import Secret
from mailbearer.protocol.sasl.mechanism import asked_too_often, check_credential


class XOAuth2:
    """Shows an access token for the mailbox ``user``."""

    name = "XOAUTH2"

    def __init__(self, user: str, token: Secret) -> None:
        check_credential(user, "Account Name")
        check_credential(token.reveal(), "Access token")
        self._user = user
        self._token = token
        self._answered = 0
        self.failure = ""

    def respond(self, challenge: bytes) -> bytes:
        """Return the token; then, to a refusal, the empty response that lets the server say its last word.

        Raises:
            RemoteProtocolError: a third challenge.
        """
        self._answered += 1
        match self._answered:
            case 1:
                return f"user={self._user}\x01auth=Bearer {self._token.reveal()}\x01\x01".encode()
            case 2:
                self.failure = challenge.decode(errors="replace")
                return b""
            case _:
                raise asked_too_often()
