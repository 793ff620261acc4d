"""HTTP requests and responses as values; ``net.http`` carries them out."""

from collections.abc import Mapping
from dataclasses import dataclass, field


def _no_headers() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. ``headers`` and ``body`` may hold secrets and are never printed."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=_no_headers, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One answer. Header names are lower case. ``body`` may hold secrets and is never printed."""

    status: int
    headers: Mapping[str, str] = field(default_factory=_no_headers)
    body: bytes = field(default=b"", repr=False)
