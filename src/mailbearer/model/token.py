"""Tokens and the four words that every surface uses for their status (SPEC M7)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailbearer.model.secret import Secret


class TokenStatus(StrEnum):
    """Exactly four; what else there is to say stands beside it."""

    NOT_RETRIEVED = "Not Retrieved"
    WAITING = "Waiting for authorization"
    RETRIEVED = "Retrieved"
    INVALID = "Invalid"


@dataclass(frozen=True, slots=True)
class TokenSet:
    """What a token endpoint gave (RFC 6749 section 5.1).

    ``scope`` is empty when the server did not name it, which means: as asked (RFC 6749 section 5.1).
    """

    access_token: Secret
    expires_at: datetime
    refresh_token: Secret | None = None
    scope: tuple[str, ...] = ()
    id_token: Secret | None = None
