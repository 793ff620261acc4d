"""Every error that Mailbearer raises on purpose. The drawing and the classes are kept equal by a test.

MailbearerError
├── InvalidInputError           what somebody typed, chose or configured cannot be
│   └── NotFoundError           a service, provider, message … of that name does not exist
├── ConflictError               it can be, but not now: another state or another person is in the way
├── LocalProtocolError          our own code used a protocol core wrongly
├── RemoteProtocolError         the other side broke its protocol
│   └── LimitExceededError      the other side sent more than a named limit
├── AuthorizationError          the authorization server said no
│   ├── GrantRefusedError       … and only a new sign-in cures it
│   └── AuthorizationUnavailableError   … or nothing usable: passing, try again later
├── ConnectError                no connection, or none that may be used
│   ├── ConnectionLostError     it was there, and ended before its time
│   └── DeadlineError           it is there, and nothing came in time
├── SignInRefusedError          the mail server does not accept the token or password
├── ServerRefusedError          the mail server refuses something else
├── TokenUnavailableError       the service has no token that can be used now
├── ForeignServerError          the server is not one that this token may be shown to
├── StoreError                  the data folder or database cannot be used
│   └── DiskFullError           … because there is no room
├── VaultError                  the key is missing or wrong, or a sealed value does not open
└── ReportedError               what the running service reported, told by a command in the service's words

An error has a stable ``code`` (``MB-T07``), ``permanent`` (is trying again pointless?), the fields that fill the
sentences of :mod:`mailbearer.sentences`, and ``detail``: the other side's own words, never a secret.
"""

from dataclasses import dataclass

from mailbearer import sentences


class MailbearerError(Exception):
    """Something that a person must hear about, with its reference, its reason and its cure."""

    default_code = "MB-W08"
    permanent = False

    def __init__(self, code: str = "", *, detail: str = "", **fields: object) -> None:
        self.code = code or self.default_code
        self.detail = detail
        self.fields = fields
        super().__init__(self.code)

    @property
    def message(self) -> str:
        """What happened: one plain sentence."""
        return sentences.what(self.code, self.fields)

    @property
    def hint(self) -> str:
        """Why, and what to do; may be empty."""
        return sentences.why(self.code, self.fields)

    @property
    def actor(self) -> str:
        """Who must do it: ``nobody``, ``administrator``, ``account`` or ``provider-administrator``."""
        return sentences.actor(self.code)

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


class InvalidInputError(MailbearerError):
    """What somebody typed, chose or configured cannot be."""

    default_code = "MB-W05"
    permanent = True


class NotFoundError(InvalidInputError):
    """A service, provider, message … of that name does not exist."""

    default_code = "MB-W20"


class ConflictError(MailbearerError):
    """It can be, but not now: another state or another person is in the way."""

    default_code = "MB-W06"


class LocalProtocolError(MailbearerError):
    """Our own code used a protocol core wrongly."""

    permanent = True


class RemoteProtocolError(MailbearerError):
    """The other side broke its protocol."""

    default_code = "MB-S30"


class LimitExceededError(RemoteProtocolError):
    """The other side sent more than a named limit."""

    default_code = "MB-S31"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an authorization server answered instead of a token (RFC 6749 section 5.2).

    ``error`` is the OAuth error word or empty, ``status`` the HTTP status, ``numbers`` the AADSTS numbers of
    Microsoft, ``subtype`` Google's ``error_subtype`` or Microsoft's ``suberror``, ``trace`` the provider's trace id,
    ``retry_after`` seconds, ``description`` its own words (untrusted, at most 1,000 characters).
    """

    error: str = ""
    status: int = 0
    numbers: tuple[int, ...] = ()
    subtype: str = ""
    trace: str = ""
    retry_after: float | None = None
    description: str = ""


class AuthorizationError(MailbearerError):
    """The authorization server said no; ``refusal`` is its answer."""

    default_code = "MB-T99"

    def __init__(self, code: str = "", *, refusal: Refusal | None = None, **fields: object) -> None:
        self.refusal = refusal or Refusal()
        super().__init__(code, detail=self.refusal.description, **fields)


class GrantRefusedError(AuthorizationError):
    """Only a new sign-in cures it: ``invalid_grant``, ``interaction_required``, and so on."""

    default_code = "MB-T07"
    permanent = True


class AuthorizationUnavailableError(AuthorizationError):
    """No usable answer: an outage, throttling, a page that is no JSON."""

    default_code = "MB-T24"


class ConnectError(MailbearerError):
    """No connection to ``host``, or none that may be used. Codes MB-S01 … MB-S10 (P01 … P10 for POP), MB-T01."""

    default_code = "MB-S04"


class ConnectionLostError(ConnectError):
    """The connection was there and ended before its time."""

    default_code = "MB-S32"


class DeadlineError(ConnectError):
    """The connection is there and nothing came in time."""

    default_code = "MB-S33"


class SignInRefusedError(MailbearerError):
    """The mail server does not accept the token or password.

    ``reply`` is the server's final line; ``challenge`` the decoded JSON text of the SASL failure challenge, empty when
    there was none: a refusal without it may be the provider's own trouble (``docs/tokens.md``).
    """

    default_code = "MB-S13"

    def __init__(self, code: str = "", *, reply: str = "", challenge: str = "", **fields: object) -> None:
        super().__init__(code, detail=reply, **({"reply": reply} if reply else {}), **fields)
        self.reply = reply
        self.challenge = challenge


class ServerRefusedError(MailbearerError):
    """The mail server refuses something else than the sign-in; ``reply`` is its final line."""

    default_code = "MB-S17"

    def __init__(self, code: str = "", *, reply: str = "", **fields: object) -> None:
        super().__init__(code, detail=reply, **({"reply": reply} if reply else {}), **fields)
        self.reply = reply


class TokenUnavailableError(MailbearerError):
    """The service has no token that can be used now; mail waits."""

    default_code = "MB-S24"


class ForeignServerError(MailbearerError):
    """The server is not one that this token may be shown to; nothing was sent to it."""

    default_code = "MB-T40"
    permanent = True


class StoreError(MailbearerError):
    """The data folder or the database cannot be used; nothing was overwritten."""

    default_code = "MB-D01"


class DiskFullError(StoreError):
    """There is no room to store what must be stored."""

    default_code = "MB-S25"


class VaultError(MailbearerError):
    """The key is missing or wrong, or a sealed value does not open; nothing was overwritten."""

    default_code = "MB-T25"
    permanent = True


class ReportedError(MailbearerError):
    """What the running service reported to a command; its sentences were made there."""

    def __init__(self, code: str, *, message: str, hint: str, actor: str, detail: str, permanent: bool) -> None:
        super().__init__(code, detail=detail, message=message, hint=hint, actor=actor)
        self.permanent = permanent

    @property
    def message(self) -> str:
        """What happened."""
        return str(self.fields["message"])

    @property
    def hint(self) -> str:
        """Why, and what to do."""
        return str(self.fields["hint"])

    @property
    def actor(self) -> str:
        """Who must do it."""
        return str(self.fields["actor"])
