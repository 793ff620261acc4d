"""PLAIN (RFC 4616): user name and password in one response."""

from mailbearer.model.secret import Secret
from mailbearer.protocol.sasl.mechanism import asked_too_often, check_credential


class Plain:
    """Shows ``user`` and ``password``; asks for no other identity."""

    name = "PLAIN"
    failure = ""

    def __init__(self, user: str, password: Secret) -> None:
        check_credential(user, "Account Name")
        check_credential(password.reveal(), "Password")
        self._user = user
        self._password = password
        self._answered = False

    def respond(self, challenge: bytes) -> bytes:  # noqa: ARG002 - the server has nothing to say before
        """Return the credentials.

        Raises:
            RemoteProtocolError: a second challenge.
        """
        if self._answered:
            raise asked_too_often()
        self._answered = True
        return f"\0{self._user}\0{self._password.reveal()}".encode()
