"""The address of the control socket: a Unix socket's path may have 107 octets, a data folder's may have more."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

PATH_MAX = 100  # octets; sockaddr_un holds 108 with the final NUL (unix(7))


@contextmanager
def short_address(path: Path) -> Generator[str]:
    """Yield an address of at most ``PATH_MAX`` octets that leads to ``path``, through its open folder if need be."""
    if len(os.fsencode(path)) <= PATH_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
