"""What a bench returns: figures with their target and what was measured beside them; and the table of them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

SCALES = {"s": 1.0, "ms": 1e3, "µs": 1e6, "MB": 1.0, "%": 1.0, "": 1.0, "/s": 1.0, "×": 1.0, "MiB": 1.0, "KiB": 1.0}
"""Values are in seconds and in what the others say."""


@dataclass(frozen=True, slots=True)
class Series:
    """What several runs gave; ``unit`` is how it is shown, the values are in seconds, MB (10^6), percent or counts."""

    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def shown(self, value: float) -> str:
        """Return ``value`` as it is shown in this unit."""
        scaled = value * SCALES[self.unit]
        whole = scaled >= 1_000 or (scaled == int(scaled) and not self.unit)
        digits = 0 if whole else 1 if scaled >= 10 else 2 if scaled >= 1 else 3
        return f"{scaled:.{digits}f} {self.unit}".rstrip()

    def as_json(self) -> dict[str, object]:
        return {"name": self.name, "unit": self.unit, "median": self.median, "values": list(self.values)}


@dataclass(frozen=True, slots=True)
class Target:
    """What the median must be: below ``limit``, at least that, or just that."""

    limit: float
    exact: bool = False
    least: bool = False

    def reached_by(self, series: Series) -> bool:
        if self.exact:
            return all(value == self.limit for value in series.values)
        return series.median >= self.limit if self.least else series.median < self.limit

    def shown(self, series: Series) -> str:
        return f"{'=' if self.exact else '≥' if self.least else '<'} {series.shown(self.limit)}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of ours. ``beside`` was measured in the same run, in turn with ours."""

    series: Series
    target: Target | None = None
    beside: tuple[Series, ...] = ()

    @property
    def reached(self) -> bool:
        return self.target is None or self.target.reached_by(self.series)

    def as_json(self) -> dict[str, object]:
        return self.series.as_json() | {
            "target": None if self.target is None else self.target.shown(self.series),
            "reached": self.reached,
            "beside": [series.as_json() for series in self.beside],
        }


HEAD = ("figure", "target", "median", "min", "max", "runs", "")


def table(figures: Sequence[Figure]) -> str:
    """Return ``figures`` as a table; below each what was measured beside it, and ours as a multiple of that."""
    rows: list[tuple[str, ...]] = [HEAD]
    for figure in figures:
        rows.append(_row(figure.series, _target_of(figure), _verdict_of(figure)))
        rows += [_row(each, "", f"× {_ratio(figure.series, each)}", "  beside: ") for each in figure.beside]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:6], widths[1:6]), row[6]]) for row in rows]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[1]), *lines[1:]])


def _row(series: Series, target: str, verdict: str, indent: str = "") -> tuple[str, ...]:
    shown = [series.shown(value) for value in (series.median, min(series.values), max(series.values))]
    return (indent + series.name, target, *shown, str(len(series.values)), verdict)


def _target_of(figure: Figure) -> str:
    return "" if figure.target is None else figure.target.shown(figure.series)


def _verdict_of(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return "reached" if figure.reached else "MISSED"


def _ratio(ours: Series, other: Series) -> str:
    if not other.median:
        return "-"
    ratio = ours.median / other.median
    return f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2g}"
