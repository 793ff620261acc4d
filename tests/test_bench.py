"""Each bench works; what it measures here, in its smallest size, means nothing."""

from pathlib import Path

import pytest
from bench.__main__ import BENCHES
from bench.figures import Figure, Series, Target, table
from bench.provider import Count
from bench.sizes import SMALL


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHES)
def test_bench_gives_figures(name: str, tmp_path: Path) -> None:
    figures = BENCHES[name](tmp_path, SMALL)
    assert figures
    assert all(value >= 0 for figure in figures for value in figure.series.values)
    assert all(figure.reached for figure in figures if figure.target is not None and figure.target.exact)


def test_median_decides() -> None:
    seconds = Series("start", "s", (0.1, 0.2, 9.0))
    assert Figure(seconds, Target(0.3)).reached
    assert not Figure(seconds, Target(0.2)).reached


def test_an_exact_target_holds_for_every_run() -> None:
    assert Figure(Series("renewals", "", (1, 1)), Target(1, exact=True)).reached
    assert not Figure(Series("renewals", "", (1, 1, 2)), Target(1, exact=True)).reached


def test_table_shows_what_was_measured_beside_and_the_multiple_of_it() -> None:
    figure = Figure(Series("ours", "s", (0.2,)), Target(0.1), (Series("theirs", "s", (0.05,)),))
    ours, theirs = table([figure]).splitlines()[2:]
    assert ours.split() == ["ours", "<", "0.100", "s", "0.200", "s", "0.200", "s", "0.200", "s", "1", "MISSED"]
    assert theirs.split() == ["beside:", "theirs", "0.050", "s", "0.050", "s", "0.050", "s", "1", "×", "4.0"]


def test_the_busiest_second_may_begin_anywhere() -> None:
    assert Count((0.0, 0.9, 1.5, 1.8, 1.85, 3.0), 1, 6).most_in_a_second == 4
