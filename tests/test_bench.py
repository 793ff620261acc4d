"""Each bench works; what it measures here, in its smallest size, means nothing."""

from pathlib import Path

import pytest
from bench import page
from bench.__main__ import BENCHES, GATEWAY, HOUSE, measure
from bench.figures import Figure, Series, Target, table
from bench.gateway.rounds import Run, Taken, in_turn, times
from bench.provider import Count
from bench.sizes import SMALL

from tests.peers.stack.servers import missing

LONG = {"end-to-end", "100-kib", "20-mib", "kill"}  # tests/gateway and tests/peers do the same in their way
INSTALLS = {"sign-ins"}  # a program from elsewhere


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [*HOUSE, *(pytest.param(name, marks=pytest.mark.peers) for name in GATEWAY if name not in LONG | INSTALLS)]
)
def test_bench_gives_figures(name: str) -> None:
    if name in GATEWAY and (why := missing()):
        pytest.skip(why)
    figures = measure(name, SMALL)
    assert figures
    assert all(value >= 0 for figure in figures for value in figure.series.values)
    assert all(figure.reached for figure in figures if figure.target is not None and figure.target.exact)


def test_every_bench_has_its_place_in_the_page() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert [name for name in BENCHES if f"<!-- bench {name} -->" not in text] == []


def test_the_page_takes_a_table_and_its_successor(tmp_path: Path) -> None:
    told = tmp_path / "figures.md"
    told.write_text("a\n<!-- bench one -->\n\nb\n<!-- bench two -->\n```\nkept\n```\n", encoding="utf-8")
    page.put("one", "first", told)
    page.put("one", "second", told)
    assert told.read_text(encoding="utf-8") == (
        "a\n<!-- bench one -->\n```\nsecond\n```\n\nb\n<!-- bench two -->\n```\nkept\n```\n"
    )


def test_at_least_is_a_target_too() -> None:
    ratio = Series("rate", "×", (7.9, 8.0, 9.0))
    assert Figure(ratio, Target(8.0, least=True)).reached
    assert not Figure(ratio, Target(8.1, least=True)).reached


def test_contenders_are_measured_in_turn() -> None:
    order: list[tuple[str, int]] = []

    def contender(name: str, seconds: float) -> Run:
        def run(count: int) -> Taken:
            order.append((name, count))
            return Taken(count, count * seconds, count * seconds / 2)

        return run

    found = in_turn({"a": contender("a", 0.01), "b": contender("b", 0.1)}, rounds=2, seconds=4.0, warm=10)
    assert order == [("a", 10), ("a", 10), ("b", 10), ("b", 10), ("a", 400), ("b", 40), ("a", 400), ("b", 40)]
    ratio = times("rate", found["a"].rate, found["b"].rate, Target(9.9, least=True))
    assert ratio.series.values == pytest.approx((10.0, 10.0))
    assert ratio.reached


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
