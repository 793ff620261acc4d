"""LOGIN, never standardized (draft-murchison-sasl-login-00), still what many servers take besides PLAIN."""

from mailbearer.model.secret import Secret
from mailbearer.protocol.sasl.mechanism import asked_too_often, check_credential


class Login:
    """Shows ``user``, then ``password``. The prompts' texts differ from server to server and are not read."""

    name = "LOGIN"
    failure = ""

    def __init__(self, user: str, password: Secret) -> None:
        check_credential(user, "Account Name")
        check_credential(password.reveal(), "Password")
        self._user = user
        self._password = password
        self._answered = 0

    def respond(self, challenge: bytes) -> bytes:  # noqa: ARG002 - "Username:", "User Name\\0" and others mean the same
        """Return the user name, then the password.

        Raises:
            RemoteProtocolError: a third challenge.
        """
        self._answered += 1
        match self._answered:
            case 1:
                return self._user.encode()
            case 2:
                return self._password.reveal().encode()
            case _:
                raise asked_too_often()
