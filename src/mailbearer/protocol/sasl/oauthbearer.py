"""OAUTHBEARER (RFC 7628), framed by the GS2 header of RFC 5801."""

from mailbearer.model.secret import Secret
from mailbearer.protocol.sasl.mechanism import asked_too_often, check_credential


class OAuthBearer:
    """Shows an access token for the mailbox ``user`` to the server ``host`` on ``port``."""

    name = "OAUTHBEARER"

    def __init__(self, user: str, host: str, port: int, token: Secret) -> None:
        check_credential(user, "Account Name")
        check_credential(host, "Server name")
        check_credential(token.reveal(), "Access token")
        self._user = user.replace("=", "=3D").replace(",", "=2C")  # RFC 5801 section 4, saslname
        self._host = host
        self._port = port
        self._token = token
        self._answered = 0
        self.failure = ""

    def respond(self, challenge: bytes) -> bytes:
        """Return the token; then, to a refusal, the single 0x01 that RFC 7628 section 3.2.3 asks for.

        Raises:
            RemoteProtocolError: a third challenge.
        """
        self._answered += 1
        match self._answered:
            case 1:
                where = f"host={self._host}\x01port={self._port}"
                return f"n,a={self._user},\x01{where}\x01auth=Bearer {self._token.reveal()}\x01\x01".encode()
            case 2:
                self.failure = challenge.decode(errors="replace")
                return b"\x01"
            case _:
                raise asked_too_often()
