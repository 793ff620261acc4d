"""The framing of the control socket: one JSON object a line; a message's content follows its request as raw bytes.

request   ``{"deed": "service.show", "arguments": {…}, "content": 1234 or null}`` and then that many octets
answer    any number of ``{"event": {…}}`` and at last ``{"result": …}`` or ``{"error": {…}}``
"""

import json
from typing import cast

from mailbearer.admin.speech import Json
from mailbearer.errors import LimitExceededError, MailbearerError, RemoteProtocolError

LINE_MAX = 4 * 1024 * 1024  # octets; a listing of 10,000 messages takes about 3 MB


def encode(frame: dict[str, Json]) -> bytes:
    """Return ``frame`` as one line."""
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Json]:
    """Return the object of one line.

    Raises:
        RemoteProtocolError: the line holds no JSON object.
    """
    if len(line) > LINE_MAX:
        raise LimitExceededError("MB-S31", host="the control socket", what="a line", limit=LINE_MAX)
    try:
        frame: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("MB-S30", host="the control socket", problem="no JSON") from error
    if not isinstance(frame, dict):
        raise RemoteProtocolError("MB-S30", host="the control socket", problem="no JSON object")
    return cast("dict[str, Json]", frame)


def error_frame(error: MailbearerError) -> dict[str, Json]:
    """Return what the other end needs to tell a person about ``error``."""
    return {
        "error": {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "actor": error.actor,
            "detail": error.detail,
            "permanent": error.permanent,
        }
    }
