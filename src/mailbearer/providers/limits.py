"""How much a provider takes from one account: its own numbers, or those that the administrator entered instead."""

from dataclasses import fields, replace
from typing import Final

from mailbearer.model.provider import Limits, Provider, Registration

LIMIT_NAMES: Final = tuple(field.name for field in fields(Limits))
"""What may be entered with a registration; 0 takes a limit away."""


def limits_of(provider: Provider, registration: Registration) -> Limits:
    """Return the limits that hold for every account at ``provider``."""
    own = {name: number for name, number in registration.limits.items() if name in LIMIT_NAMES and number >= 0}
    return replace(provider.limits, **own)
