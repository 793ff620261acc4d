"""What the administrator should know of devices: a code of ours and the fields of its sentence."""

from typing import Protocol


class Notice(Protocol):
    """Takes a code of ours and the fields of its sentence."""

    def __call__(self, code: str, **facts: object) -> None:
        """Tell it."""
        ...


def nobody_hears(code: str, **facts: object) -> None:
    """Let a notice pass."""
