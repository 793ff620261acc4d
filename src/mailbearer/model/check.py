"""The Connection Test's result (SPEC M14)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One step. ``ok`` is None when it was not run; ``ms`` is its duration in milliseconds."""

    name: str
    ok: bool | None
    ms: float
    detail: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong, why, what to do and who must do it. ``detail`` holds the other side's own words."""

    code: str
    text: str
    action: str
    actor: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The whole test; ``diagnosis`` is None when every step passed."""

    service: str
    ok: bool
    steps: tuple[Step, ...]
    diagnosis: Diagnosis | None
