"""What the authorization server answers, as values."""

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: ``body`` is its JSON object, or empty."""

    status: int
    body: dict[str, object]

    def text(self, name: str) -> str:
        """Return the member ``name`` as text; empty when it is not there."""
        return str(self.body.get(name, ""))

    def number(self, name: str) -> int:
        """Return the member ``name``, a number; 0 when it is not there."""
        value = self.body.get(name, 0)
        assert isinstance(value, int)
        return value


@dataclass(frozen=True, slots=True)
class Entry:
    """One call at an OAuth endpoint: ``path`` is ``/token``, ``/device/auth``, ``/token/revocation`` …"""

    path: str
    status: int  # 0: the connection was dropped
    grant_type: str
    client: str
    account: str
    error: str
    fault: bool  # played by Stack.fault


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the token endpoint gave."""

    access: str
    refresh: str
    expires_in: int
    scope: str


def read_answer(status: int, body: bytes) -> Answer:
    """Read an answer whose body is JSON, or anything else."""
    try:
        read: object = json.loads(body)
    except ValueError:
        read = None
    return Answer(status, read if isinstance(read, dict) else {})


def read_tokens(answer: Answer) -> Tokens:
    """Read an answer that must hold tokens."""
    if not answer.text("access_token"):
        raise RuntimeError(f"no tokens, but {answer.status} {answer.body}")
    return Tokens(
        answer.text("access_token"), answer.text("refresh_token"), answer.number("expires_in"), answer.text("scope")
    )


def read_journal(body: bytes) -> list[Entry]:
    """Read the journal of the authorization server."""
    calls: list[dict[str, object]] = json.loads(body)
    entries: list[Entry] = []
    for call in calls:
        path, grant, client, account, error = (
            str(call.get(name, "")) for name in ("path", "grant_type", "client_id", "account", "error")
        )
        entries.append(Entry(path, int(str(call["status"])), grant, client, account, error, call["fault"] is True))
    return entries
