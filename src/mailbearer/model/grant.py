"""The standing permission that one service holds, and the sign-in that is under way for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from mailbearer.model.secret import Secret
from mailbearer.model.service import ServiceId
from mailbearer.model.token import TokenSet


class Flow(StrEnum):
    """The ways to a token (SPEC 4.2)."""

    DEVICE = "device"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that stands beside the status or is the reason of Invalid; never holds a secret."""

    code: str  # MB-T07
    since: datetime
    fields: Mapping[str, str] = field(default_factory=dict[str, str])  # fill the sentences of the code
    provider_error: str = ""  # the provider's error word
    number: int | None = None  # AADSTS number
    trace: str = ""
    detail: str = ""  # the provider's own words
    next_try: datetime | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What one service holds. ``version`` grows by one with every change; a stale writer loses.

    ``invalid`` is the reason why the status is Invalid; ``trouble`` a fault that leaves the status alone.
    """

    service: ServiceId
    version: int
    tokens: TokenSet
    provider: str
    account: str  # the account that signed in, or the configured one when the provider does not tell
    account_confirmed: bool
    flow: Flow
    obtained_at: datetime
    refreshed_at: datetime
    invalid: Trouble | None = None
    trouble: Trouble | None = None
    failures: int = 0  # renewals failed one after the other
    next_try: datetime | None = None  # no renewal before this time, set by back-off


@dataclass(frozen=True, slots=True)
class DeviceSignIn:
    """The provider's answer to a device authorization request (RFC 8628 section 3.2)."""

    device_code: Secret
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    interval: timedelta
    message: str = ""


@dataclass(frozen=True, slots=True)
class CodeSignIn:
    """An authorization request that was handed out (RFC 6749 section 4.1.1, RFC 7636)."""

    authorization_url: str
    redirect_uri: str
    state: Secret
    code_verifier: Secret
    issuer: str = ""  # what the callback's ``iss`` must be, empty when unknown (RFC 9207)


@dataclass(frozen=True, slots=True)
class Pending:
    """A sign-in under way: status Waiting for authorization. One for a service at most."""

    service: ServiceId
    id: str
    started_at: datetime
    expires_at: datetime
    started_by: str
    scopes: tuple[str, ...]
    sign_in: DeviceSignIn | CodeSignIn
    next_poll: datetime | None = None
    provider: str = ""  # where it goes and for whom, whatever the settings say by the time it ends
    account: str = ""

    @property
    def flow(self) -> Flow:
        """Which way this sign-in goes."""
        return Flow.DEVICE if isinstance(self.sign_in, DeviceSignIn) else Flow.CODE


@dataclass(frozen=True, slots=True)
class Ended:
    """How the last sign-in of a service ended, kept until the next one begins, so that pages can tell."""

    service: ServiceId
    id: str
    at: datetime
    trouble: Trouble | None  # None: it succeeded
