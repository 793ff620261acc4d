"""kill -9 under load (SPEC promises 1 and 2); ``python -m tests.gateway.kill 200`` is the long version."""

from pathlib import Path

import pytest

from mailbearer.sending.outbox import AHEAD
from tests.gateway.kill import kill_often

ROUNDS = 8


@pytest.mark.slow
def test_what_was_accepted_arrives_however_often_the_service_is_killed(tmp_path: Path) -> None:
    tally = kill_often(tmp_path / "data", ROUNDS)
    assert (tally.lost, tally.spoilt, tally.repeated) == (0, 0, 0), tally
    assert tally.accepted > ROUNDS, "it was killed at work"
    assert tally.most_duplicates_of_a_kill <= AHEAD, "only what was on its way can come twice"
