"""A text that never prints itself: tokens, passwords, codes, verifiers, keys."""

import hmac
from typing import NoReturn


class Secret:
    """Holds a secret text. ``repr``, ``str`` and formatting give ``***``; ``reveal`` is the one way out."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret itself; called only in ``protocol``, ``net``, ``vault`` and where a person asked for it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, others = (text.encode(errors="surrogatepass") for text in (self._text, other._text))
        return hmac.compare_digest(mine, others)

    __hash__ = None  # type: ignore[assignment]  # a secret is no key of a table

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
