"""Up to which norm the linear prediction holds: measured changes of the response against alpha * sqrt(lambda), as a table and a figure."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace

from matplotlib.figure import Figure

from eigexp.report.axes import charts_figure
from eigexp.report.chart import Chart, Line, Mark, linear_axis, log_axis
from eigexp.report.style import COLUMNS
from eigexp.store.labels import distortion_name, end_of, number

CLOSE = 0.1  # of the prediction


@dataclass(frozen=True)
class Measured:
    """One distortion at one norm.

    Attributes:
        eigenindex: its place among n eigenvalues, 0 the largest.
        n: number of coordinates.
        eigenvalue: as certified.
        lower: end of its interval.
        upper: end of its interval.
        alpha: signed norm.
        predicted: |alpha| sqrt(lambda), in response units (whitened by the noise).
        predicted_at_most: |alpha| sqrt(upper).
        measured: ||f(x + alpha v) - f(x)||, nothing clipped or rounded.
        outside: share of values of x + alpha v outside [0, 1].
    """

    eigenindex: int
    n: int
    eigenvalue: float
    lower: float
    upper: float
    alpha: float
    predicted: float
    predicted_at_most: float
    measured: float
    outside: float

    @property
    def holds(self) -> bool:
        """Tell whether the measurement is within a tenth of the prediction; of an eigenvalue that may be zero, at most its upper bound."""
        if self.lower > 0:
            return abs(self.measured - self.predicted) <= CLOSE * self.predicted
        return self.measured <= (1 + CLOSE) * self.predicted_at_most


def linear_up_to(rows: Sequence[Measured]) -> float:
    """Return the largest |alpha| up to which the prediction holds at every smaller one that was tried, both signs; 0 if it never does."""
    reached = 0.0
    for alpha in sorted({abs(row.alpha) for row in rows}):
        if not all(row.holds for row in rows if abs(row.alpha) == alpha):
            break
        reached = alpha
    return reached


def linearity_words(rows: Sequence[Measured]) -> list[str]:
    """Return a line for each distortion: up to which norm its prediction holds."""
    lines = []
    for index, own in by_eigenindex(rows).items():
        reached, tried = linear_up_to(own), [abs(row.alpha) for row in own]
        claim = f"alpha * sqrt(lambda) within {CLOSE:.0%}" if own[0].lower > 0 else "at most alpha * sqrt(upper bound of lambda)"
        where = f"up to norm {number(reached)} (tested up to {number(max(tried))})" if reached else f"not even at norm {number(min(tried))}"
        lines.append(f"{distortion_name(index, own[0].n)}: the change of the response is {claim} {where}")
    return lines


def by_eigenindex(rows: Sequence[Measured]) -> dict[int, list[Measured]]:
    """Return the rows of each distortion."""
    found: dict[int, list[Measured]] = {}
    for row in rows:
        found.setdefault(row.eigenindex, []).append(row)
    return found


def linearity_csv(rows: Sequence[Measured]) -> bytes:
    """Return the rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Measured)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue().encode()


def linearity_figure(rows: Sequence[Measured], title: str = "", columns: int = 1) -> Figure:
    """Return a figure of the change of the response against the norm, measured (marks) and predicted (lines); below it, their ratio.

    Args:
        rows: of one result.
        title: what it is of.
        columns: 1 or 2, of a journal.
    """
    return charts_figure(linearity_charts(rows, title), (COLUMNS[columns], 5.3 if columns == 1 else 4.4), (2, 1))


def linearity_charts(rows: Sequence[Measured], title: str = "") -> tuple[Chart, Chart]:
    """Return the two charts of `linearity_figure`: filled marks are of positive norms, hollow ones of negative."""
    norms = [abs(row.alpha) for row in rows]
    values = [row.measured for row in rows if row.measured > 0] + [end for own in by_eigenindex(rows).values() for end in _ends(own)]
    ratios = [(row, ratio) for row in rows if (ratio := _ratio(row)) is not None]
    across = log_axis("norm of the distortion \u03b1  (pixel units)", norms)
    above = Chart(
        title=title or "change of the response",
        label="change of the response against the norm, measured and predicted",
        x=replace(across, label=""),
        y=log_axis("\u2016f(x + \u03b1v) \u2212 f(x)\u2016  (response)", values),
        marks=tuple(_mark(row, row.measured) for row in rows if row.measured > 0),
        lines=tuple(line for own in by_eigenindex(rows).values() for line in _predicted(own)),
        legend=_legend(rows),
    )
    most = max([1.5, *(ratio for _, ratio in ratios)])
    below = Chart(
        title="",
        label="measured over predicted change",
        x=across,
        y=linear_axis("measured /\npredicted", most, 3, 1.05),
        marks=tuple(_mark(row, ratio) for row, ratio in ratios),
        band=(1 - CLOSE, 1 + CLOSE),
        asked=1.0,
    )
    return above, below


def _mark(row: Measured, y: float) -> Mark:
    negative = row.alpha < 0
    return Mark(abs(row.alpha), y, end_of(row.eigenindex, row.n), f"norm {number(row.alpha)}: {number(y)}", int(negative), hollow=negative)


def _ratio(row: Measured) -> float | None:
    predicted = row.predicted if row.lower > 0 else row.predicted_at_most
    return row.measured / predicted if predicted > 0 else None


def _ends(rows: Sequence[Measured]) -> list[float]:
    """Return the largest and the smallest predicted change of a distortion."""
    return [y for line in _predicted(rows) for _, y in line.points]


def _predicted(rows: Sequence[Measured]) -> list[Line]:
    """Return the line that a distortion's eigenvalue predicts, or the bound where it may be zero."""
    first, norms = rows[0], sorted({abs(row.alpha) for row in rows})
    value = first.eigenvalue if first.lower > 0 else first.upper
    if not value > 0:
        return []
    name = distortion_name(first.eigenindex, first.n)
    label = f"{name}, predicted \u03b1\u221a\u03bb" if first.lower > 0 else f"{name}, at most (\u03bb's upper bound)"
    points = tuple((norm, norm * math.sqrt(value)) for norm in norms)
    return [Line(points, end_of(first.eigenindex, first.n), label=label, dashed=not first.lower > 0)]


def _legend(rows: Sequence[Measured]) -> tuple[tuple[str, int, str], ...]:
    return tuple(
        (end_of(index, own[0].n), shape, f"{distortion_name(index, own[0].n)}, {sign}\u03b1")
        for index, own in by_eigenindex(rows).items()
        for shape, sign in ((0, "+"), (1, "\u2212"))
        if any((row.alpha < 0) == bool(shape) for row in own)
    )
