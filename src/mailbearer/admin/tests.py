"""The Connection Test as a deed: each step is told as it ends, the whole report at the end (SPEC M14)."""

from mailbearer.admin.speech import Json, Tell
from mailbearer.admin.views import report_view, step_view
from mailbearer.checks.connection import Checker
from mailbearer.model.check import CheckReport, Step
from mailbearer.model.service import ServiceId


class TestDesk:
    """Runs Connection Tests."""

    __test__ = False  # not a test of ours, whatever pytest thinks of the name

    def __init__(self, checker: Checker) -> None:
        self._checker = checker

    async def run(self, identity: str, tell: Tell) -> dict[str, Json]:
        """Walk the whole way of a service; ``tell`` hears of every step."""
        async for happened in self._checker.check(ServiceId(identity)):
            match happened:
                case Step():
                    await tell({"step": step_view(happened)})
                case CheckReport():
                    return report_view(happened)
        raise AssertionError("a Connection Test ends with a report")
