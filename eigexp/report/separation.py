"""D = 1/2 ln(lambda_1 / lambda_n) of models and images: how much more noticeable one end is than the other, as a dot chart.

A row is a model with its layer and the settings that differ, a mark is an image. Values, bounds and results that are not verified have
different marks, and are not averaged with each other.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from eigexp.report.axes import NARROW, chart_figure
from eigexp.report.chart import Chart, Mark, empty_chart, linear_axis, row_axis
from eigexp.report.words import shortened_apart
from eigexp.store.labels import quantity_text
from eigexp.store.rows import Row
from eigexp.store.selection import Label, Selection

MOST_IMAGES = 7  # that have a colour and a shape of their own
KEY_LETTERS = 24  # of an image in the key, if that tells it from the others
LEGEND = "filled: verified; hollow: not verified; \u2192: at least"
_ROOM, _NARROW_ROOM = 1.06, 1.15  # times the largest D, for arrows
_LETTERS, _NARROW_LETTERS = 44, 16  # of a line of a row's name
_DODGE = 0.56  # of a row's height, between the marks of the first and of the last image


@dataclass(frozen=True)
class Group:
    """A row of the chart: results of one model, layer and settings."""

    label: Label
    rows: tuple[Row, ...]

    @property
    def verified(self) -> list[Row]:
        """The results that are verified and of which something is known."""
        return [row for row in self.rows if row["verified"] and shown(row) is not None]

    @property
    def at_least(self) -> float:
        """The lower bound of D for all verified results; minus infinity without any."""
        return min((row["D_low"] for row in self.verified), default=-math.inf)

    @property
    def mean(self) -> float | None:
        """The mean of D, where every result has a verified value."""
        values = [row["D"] for row in self.verified if row["D"] is not None]
        return sum(values) / len(values) if len(values) == len(self.rows) else None

    @property
    def words(self) -> str:
        """The text at the row's end: the mean of values, or the lower bound for all verified results, and the number of the others."""
        kept, others = self.verified, len(self.rows) - len(self.verified)
        mean = self.mean
        known = f"{mean:.2f}" if mean is not None else f"\u2265 {math.floor(100 * self.at_least) / 100:.2f}" if kept else ""
        return ", ".join(part for part in (known, f"{others} not verified" if others else "") if part)


def shown(row: Row) -> float | None:
    """Return where a result's mark lies: D, or its lower bound where there is no value; None where nothing is known about it."""
    found = row["D"] if row["D"] is not None else row["D_low"]
    return found if found is not None and math.isfinite(found) and (row["D"] is not None or found > 0) else None


def groups(selection: Selection, *, by_size: bool = False) -> list[Group]:
    """Return the rows of the chart that have something to show, in the selection's order or with the largest D first."""
    found: dict[str, list[Row]] = {}
    labels = selection.labels
    for row in selection.rows:
        found.setdefault(labels[row["id"]].row, []).append(row)
    kept = [Group(labels[rows[0]["id"]], tuple(rows)) for rows in found.values() if any(shown(row) is not None for row in rows)]
    return sorted(kept, key=lambda group: -group.at_least) if by_size else kept


def comparison_figure(selection: Selection, size: tuple[float, float] | None = None) -> Figure:
    """Return D of every result that has both ends, the largest at the top.

    Args:
        selection: the results.
        size: inches; by default as high as the rows need.
    """
    width, height = size or (7.4, chart_height(selection))
    return chart_figure(comparison_chart(selection, narrow=width < NARROW), (width, height))


def comparison_chart(selection: Selection, *, narrow: bool = False) -> Chart:
    """Return the chart of a comparison, the rows with the largest D at the top."""
    return separation_chart(selection, groups(selection, by_size=True), narrow=narrow)


def chart_height(selection: Selection, *, narrow: bool = False) -> float:
    """Return the inches that a chart of a selection needs."""
    letters = _NARROW_LETTERS - 3 if narrow else _LETTERS
    rows = [max(0.34, 0.17 * -(-len(group.label.row) // letters)) for group in groups(selection)]
    return (2.4 if narrow else 1.6) + sum(rows or [0.34])


def separation_chart(
    selection: Selection, rows: Sequence[Group], *, labels: Sequence[str] = (), dividers: Sequence[float] = (), narrow: bool = False
) -> Chart:
    """Return a chart of D.

    A thin line is the interval. An arrow says that D is at least so much, because the smallest eigenvalue may be zero. A hollow mark is
    not verified. The tick is the mean of a row whose results all have verified values; the number at its right says as much.

    Args:
        selection: whose results the rows have.
        rows: in their order.
        labels: of the rows; their own by default.
        dividers: heights at which rows are parted.
        narrow: with few ticks, for one column of a journal.
    """
    title, label = "D = \u00bd ln(\u03bb\u2081/\u03bb\u2099)", "D of models and images"
    title = f"{title}  ({selection.settings_in_common})" if selection.settings_in_common else title
    if not rows:
        return empty_chart(title, label, "D", "", "no result with both ends")
    images = list(dict.fromkeys(selection.labels[row["id"]].image for row in selection.rows))
    images = selection.images if len(images) > MOST_IMAGES or len(selection.images) <= MOST_IMAGES else images
    found = [(at, row) for at, group in enumerate(rows) for row in group.rows]
    marks = [mark for at, row in found if (mark := _mark(at, row, selection.labels[row["id"]], images)) is not None]
    most = max(mark.span[1] if mark.span else mark.x for mark in marks)
    used = {mark.shape for mark in marks}
    few = 1 < len(images) <= MOST_IMAGES
    keys = shortened_apart(images, KEY_LETTERS)
    return Chart(
        title=title,
        label=label,
        x=linear_axis(f"D\n{LEGEND}" if narrow else f"D  ({LEGEND})", most, 3 if narrow else 8, _NARROW_ROOM if narrow else _ROOM),
        y=row_axis([_wrapped(text, narrow=narrow) for text in labels or [group.label.row for group in rows]]),
        values="x",
        marks=tuple(marks),
        means=tuple((float(at), mean) for at, group in enumerate(rows) if len(group.rows) > 1 and (mean := group.mean) is not None),
        notes=tuple((float(at), group.words.replace(", ", "\n") if narrow else group.words) for at, group in enumerate(rows)),
        dividers=tuple(dividers),
        legend=tuple((f"m{at}", at, key) for at, key in enumerate(keys) if at in used) if few else (),
    )


def _wrapped(name: str, *, narrow: bool) -> str:
    """Return a row's name in as many lines as it needs: cut, two rows could have one name."""
    return textwrap.fill(name, _NARROW_LETTERS if narrow else _LETTERS)


def dodge(at: int, count: int, room: float) -> float:
    """Return how far the mark of one of several images is moved from the middle of its row, so that equal values are seen."""
    return 0.0 if count < 2 else round(room * (at / (count - 1) - 0.5), 2)


def _mark(at: int, row: Row, label: Label, images: Sequence[str]) -> Mark | None:
    x = shown(row)
    if x is None:
        return None
    few, bounds = len(images) <= MOST_IMAGES, (row["D_low"], row["D_high"])
    place = images.index(label.image) if few else 0
    state = "" if row["verified"] else ", not verified"
    bounded = row["D"] is None
    return Mark(
        x=x,
        y=at + (dodge(place, len(images), _DODGE) if few else 0.0),
        role=f"m{place}" if few else "other",
        title=f"{label}: {quantity_text(row['D'], bounds, form='long', typeset=True, symbol='D')}{state}",
        shape=place,
        limit="at least" if bounded else "",
        hollow=not row["verified"],
        span=None if bounded else bounds,
        id=row["id"],
    )
