"""Where to connect to, and how: one mail server as the settings of a service name it."""

from dataclasses import dataclass
from datetime import timedelta

from mailbearer.model.service import Service, ServiceKind, TlsMode

SMTP_LETTER = "S"  # of MB-S03
POP_LETTER = "P"  # of MB-P03


@dataclass(frozen=True, slots=True)
class Route:
    """One mail server. ``letter`` begins the numbers of its errors: ``S`` for SMTP, ``P`` for POP."""

    host: str
    port: int
    tls: TlsMode
    ca_file: str = ""  # PEM file of an authority that is trusted besides those of the system
    timeout: timedelta = timedelta(seconds=60)
    letter: str = SMTP_LETTER

    def code(self, number: int) -> str:
        """Return the code of the error ``number``: ``MB-S03`` or ``MB-P03``."""
        return f"MB-{self.letter}{number:02}"

    def patience(self, seconds: float) -> float:
        """Return how long to wait where the standard says ``seconds``: never longer than the Timeout setting."""
        return min(seconds, self.timeout.total_seconds())


def routes_of(service: Service, ca_file: str = "") -> tuple[Route, ...]:
    """Return the ways to the mail servers of ``service``, first choice first."""
    settings = service.settings
    letter = SMTP_LETTER if service.kind is ServiceKind.SMTP else POP_LETTER
    return tuple(
        Route(host, settings.port, settings.tls, ca_file, settings.timeout, letter) for host in service.servers
    )
