"""The provider with TLS and XOAUTH2 that contenders deliver to, as the bench sees it: its program and its counts."""

import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench.gateway.programs import Program, bare_program, wait_for
from bench.processes import free_port
from mailbearer.practice import certificates

COUNTS = struct.Struct("QQ")  # messages and round trips, in the file FOLDER/counts


def context(folder: Path) -> ssl.SSLContext:
    """Return the TLS settings of a server with the certificate of ``folder``, made if it is not there."""
    return certificates.server_context(folder, datetime.now(UTC))


class Provider:
    """The running provider."""

    def __init__(self, program: Program, folder: Path) -> None:
        self.program = program
        self.folder = folder

    @property
    def port(self) -> int:
        return self.program.port

    @property
    def authorities(self) -> Path:
        """The certificate of the authority that vouches for it."""
        return certificates.ca_file(self.folder)

    @property
    def chain(self) -> Path:
        """Its certificate and key in one file, which servers on this side can show as well."""
        chain = self.folder / "chain.pem"
        if not chain.exists():
            chain.write_bytes((self.folder / "server.key").read_bytes() + (self.folder / "server.pem").read_bytes())
        return chain

    @property
    def trips(self) -> int:
        """How many round trips clients needed for messages until now."""
        return self._counts()[1]

    def count(self) -> int:
        """Return how many messages came until now."""
        return self._counts()[0]

    def wait(self, count: int) -> float:
        """Wait until ``count`` messages have come in all; return the monotonic time."""
        return wait_for(self.count, count)

    def ids(self) -> list[str]:
        """Return the Message-IDs of all messages that came."""
        return (self.folder / "ids").read_text(encoding="utf-8", errors="replace").split()

    def _counts(self) -> tuple[int, int]:
        messages, trips = COUNTS.unpack((self.folder / "counts").read_bytes())
        return messages, trips


@contextmanager
def provider(folder: Path, *, delay: float = 0.0) -> Iterator[Provider]:
    """Run the provider; its replies take ``delay`` seconds."""
    folder.mkdir()
    context(folder)
    (folder / "counts").write_bytes(bytes(COUNTS.size))
    words = (str(folder), str(delay))
    with bare_program("oauth_sink", free_port(), *words, log=folder / "provider.log") as program:
        yield Provider(program, folder)
