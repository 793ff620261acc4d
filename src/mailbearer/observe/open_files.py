"""How many files and connections this process may have open at the same time."""

import resource
from typing import Final

KEPT: Final = 200
"""Of them for what is not a device: the database, segments, lines to providers, the web listener, commands."""


def raise_open_files() -> int:
    """Raise the limit of the process as far as it may, and return it: a shell often gives 1,024 of many more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # some systems give no more than they have, whatever they promise
            return soft
    return open_files()


def open_files() -> int:
    """Return the limit."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
