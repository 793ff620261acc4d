"""Which mechanism is used when a server offers several."""

from collections.abc import Iterable


def choose(offered: Iterable[str], wanted: Iterable[str]) -> str | None:
    """Return the first of ``wanted`` that is offered, in whatever letter case; None when there is none."""
    names = {name.upper() for name in offered}
    return next((name for name in wanted if name.upper() in names), None)
