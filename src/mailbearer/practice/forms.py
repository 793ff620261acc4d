"""Bodies of the media type ``application/x-www-form-urlencoded``, query strings and HTTP Basic credentials."""

import base64
import binascii
from collections.abc import AsyncIterator, Mapping
from urllib.parse import parse_qsl, unquote_plus

from mailbearer.practice.authority import refuse

BODY_MAX = 256 * 1024  # a refresh token of 64 KiB, percent-encoded
FIELDS_MAX = 32
MEDIA_TYPE = "application/x-www-form-urlencoded"


async def read_body(chunks: AsyncIterator[bytes]) -> bytes:
    """Return the whole body.

    Raises:
        AuthorizationError: it is larger than ``BODY_MAX``; the status is 413.
    """
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > BODY_MAX:
            raise refuse("invalid_request", f"The body is larger than {BODY_MAX} bytes.", status=413)
    return bytes(body)


def parse_form(text: bytes) -> dict[str, str]:
    """Return the fields of a form or query, those without a value left out (RFC 6749 section 3.1).

    Raises:
        AuthorizationError: ``invalid_request``: no UTF-8, a field given twice, or too many of them.
    """
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError as problem:
        raise refuse("invalid_request", "The form cannot be read.") from problem
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise refuse("invalid_request", "A field is given more than once.")
    return {name: value for name, value in fields.items() if value}


def client_in(authorization: str, form: Mapping[str, str]) -> tuple[str, str | None]:
    """Return client ID and secret from the header (RFC 6749 section 2.3.1) or the form.

    Raises:
        AuthorizationError: ``invalid_client``.
    """
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret")
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        return unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict")
    except (binascii.Error, ValueError) as problem:
        raise refuse("invalid_client", "The Authorization header cannot be read.", status=401) from problem


def bearer_in(authorization: str) -> str:
    """Return the bearer token of the header (RFC 6750 section 2.1), empty when there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
