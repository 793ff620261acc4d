"""The JSON with which a server says why it refuses a token (RFC 7628 section 3.2.2), read as far as it can be."""

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """Each field is empty when the server did not give it. ``status`` is a word or a number as text."""

    status: str = ""
    scope: str = ""
    openid_configuration: str = ""


def parse_failure(text: str) -> Failure:
    """Read a failure challenge; what is not JSON, or not as expected, is as good as not said."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return Failure()
    if not isinstance(found, dict):
        return Failure()
    members: dict[object, object] = {**found}
    return Failure(
        status=_text(members.get("status")),
        scope=_text(members.get("scope")),
        openid_configuration=_text(members.get("openid-configuration")),
    )


def _text(value: object) -> str:
    match value:
        case str():
            return value
        case bool():
            return ""
        case int():  # Google and Dovecot differ: "401" and 401
            return str(value)
        case _:
            return ""
