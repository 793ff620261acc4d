"""The services that exist from the start, with the places where the manual shows them (SPEC M3, M4)."""

from typing import Final

from mailbearer.model.service import AfterReceiving, PopSettings, Service, ServiceId, SmtpSettings

SMTP_PLACES: Final = (
    "Network Settings › Service Settings › SMTP",
    "System Control › E-mail Alert and Status › SMTP",
    "Network Settings › Quick Settings",
    "Initial Installation › Network Quick Settings",
)
STANDARD: Final = (
    Service(ServiceId("smtp"), "SMTP", SMTP_PLACES, SmtpSettings()),
    Service(
        ServiceId("pop.internet-fax"),
        "Internet Fax",
        ("Image Send Settings › Internet Fax Settings › Server Settings",),
        PopSettings(after_receiving=AfterReceiving.DELETE),
    ),
    Service(
        ServiceId("pop.email-print"),
        "E-mail Print",
        ("Printer Settings › E-mail Print Settings",),
        PopSettings(after_receiving=AfterReceiving.DELETE),
    ),
)


def title_of(identity: str) -> str:
    """Return the title that a service gets when nobody gives it one: ``pop.front-desk`` → ``Front desk``."""
    return identity.partition(".")[2].replace("-", " ").capitalize()
