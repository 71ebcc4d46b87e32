"""Up to which norm the linear prediction holds: measured changes of the response against alpha * sqrt(lambda), as a table and a figure."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eigexp.report.style import BOTTOM, COLUMNS, MUTED, TOP, house_style, new_figure
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
        where = f"up to norm {number(reached)}, of {number(max(tried))} tried" if reached else f"not even at norm {number(min(tried))}"
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
    with house_style():
        figure = new_figure(COLUMNS[columns], 5.3 if columns == 1 else 4.4)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
        above.set_title(title or "change of the response", parse_math=False)
        for own in by_eigenindex(rows).values():
            _draw(above, below, own)
        above.set(xscale="log", yscale="log")
        above.set_ylabel("\u2016f(x + \u03b1v) \u2212 f(x)\u2016  (response)")
        below.axhspan(1 - CLOSE, 1 + CLOSE, color="#EDEDED", zorder=0)
        below.set_ylim(0, max(1.5, below.get_ylim()[1]))
        below.set_xlabel("norm of the distortion \u03b1  (pixel units)")
        below.set_ylabel("measured /\npredicted")
        figure.legend(*above.get_legend_handles_labels(), loc="outside lower center", ncols=columns)
    return figure


def _draw(above: Axes, below: Axes, rows: Sequence[Measured]) -> None:
    first = rows[0]
    colour = {"top": TOP, "bottom": BOTTOM}[end_of(first.eigenindex, first.n)]
    name = distortion_name(first.eigenindex, first.n)
    for sign, face in ((1, colour), (-1, "none")):
        own = [row for row in rows if math.copysign(1, row.alpha) == sign]
        x, y = [abs(row.alpha) for row in own], [row.measured or math.nan for row in own]
        style = {
            "color": colour,
            "markerfacecolor": face,
            "markersize": 4 if sign > 0 else 5.5,
            "linestyle": "none",
            "marker": "o" if sign > 0 else "s",
        }
        above.plot(x, y, label=f"{name}, {'+' if sign > 0 else chr(0x2212)}\u03b1", **style)
        over = [row.measured / (row.predicted if row.lower > 0 else row.predicted_at_most or math.nan) for row in own]
        below.plot(x, over, **style)
    x = sorted({abs(row.alpha) for row in rows})
    if first.lower > 0:
        above.plot(
            x,
            [alpha * math.sqrt(first.eigenvalue) for alpha in x],
            color=colour,
            linewidth=1,
            label=f"{name}, predicted \u03b1\u221a\u03bb",
        )
    elif first.upper > 0:
        most = [alpha * math.sqrt(first.upper) for alpha in x]
        above.plot(x, most, color=colour, linewidth=1, linestyle=(0, (4, 1.5)), label=f"{name}, at most (\u03bb's upper bound)")
    below.axhline(1, color=MUTED, linewidth=0.8)
