"""Models and images compared by D = 1/2 ln(lambda_1 / lambda_n): how much more noticeable the one end is than the other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from eigexp.report.axes import NARROW, chart_figure
from eigexp.report.chart import Chart, Mark, empty_chart, linear_axis, row_axis
from eigexp.report.view import View
from eigexp.report.words import shortened
from eigexp.store.labels import layer_label, quantity_text

_MOST_IMAGES = 7  # that have a colour and a shape of their own
_ROOM, _NARROW_ROOM = 1.12, 1.25  # times the largest D, for arrows
_DODGE = 0.56  # of a row's height, between the marks of the first and of the last image


@dataclass(frozen=True)
class Separation:
    """D of one result, between the bounds that its eigenvalues' intervals leave.

    Attributes:
        value: what is shown: D, or its lower bound where there is no upper one.
        low: lower bound.
        high: upper bound; infinite where the smallest eigenvalue may be zero.
    """

    value: float
    low: float
    high: float

    @property
    def is_bound(self) -> bool:
        """Tell whether D is only known to be at least `value`."""
        return math.isinf(self.high)

    @classmethod
    def within(cls, d: float | None, low: float, high: float) -> "Separation":
        """Return what is shown of D: its value, or its lower bound where it has no value or no upper bound."""
        return cls(low, low, math.inf) if d is None or math.isinf(high) else cls(d, low, high)


Points = Mapping[str, Mapping[str, Separation]]


def comparison_figure(views: Sequence[View], size: tuple[float, float] | None = None) -> Figure:
    """Return D of every result that has both ends: each row is a model (and layer), each mark an image; see `comparison_chart`.

    Args:
        views: `View.of(result)` each.
        size: inches; by default as high as the rows need.
    """
    points = comparison(views)
    width, height = size or (7.4, comparison_height(points))
    return chart_figure(comparison_chart(points, narrow=width < NARROW), (width, height))


def comparison_height(points: Points) -> float:
    """Return the inches that a chart of these rows needs."""
    return 1.5 + 0.34 * max(len(points), 1)


def comparison(views: Sequence[View]) -> Points:
    """Return {model and layer: {image: D}}, models with the largest mean first; the last of several results of one pair counts."""
    found: dict[str, dict[str, Separation]] = {}
    for view in views:
        separation = separation_of(view)
        if separation is not None:
            layer = f", {layer_label(view.record['layer'])}" if view.record.get("layer") else ""
            name = f"{view.record.get('model', 'model')}{layer}"
            found.setdefault(name, {})[str((view.record.get("image") or {}).get("name", "image"))] = separation
    return dict(sorted(found.items(), key=lambda item: -mean(item[1])))


def separation_of(view: View) -> Separation | None:
    """Return D of a result with its bounds, None without both ends or without anything known of it."""
    if view.d_bounds is None:
        return None
    found = Separation.within(view.d, *view.d_bounds)
    return None if found.is_bound and not 0 < found.low < math.inf else found


def comparison_chart(points: Points, *, narrow: bool = False) -> Chart:
    """Return the chart of a comparison, the largest D at the top."""
    title = "D = ½ ln(λ₁/λₙ), → at least"
    return separation_chart(points, title=title, x="D  (ln of the ratio of predicted thresholds)", narrow=narrow)


def separation_chart(
    points: Points,
    *,
    title: str,
    x: str,
    labels: Sequence[str] = (),
    notes: Sequence[str] = (),
    dividers: Sequence[float] = (),
    narrow: bool = False,
) -> Chart:
    """Return a chart of D: each row is a model and layer, each mark an image, a grey bar the mean.

    A thin line is the interval; an open mark with an arrow says that D is at least so much, because the smallest eigenvalue may be zero.

    Args:
        points: of the rows, in their order.
        title: of the chart.
        x: label of the axis.
        labels: of the rows; shortened names by default.
        notes: at the right of the rows.
        dividers: heights at which rows are parted.
        narrow: with few ticks, for one column of a journal.
    """
    label = "D of models and images"
    if not points:
        return empty_chart(title, label, x, "", "no result with both ends")
    images = image_names(points)
    rows = row_axis(labels or [shortened(name, 28) for name in points])
    most = max(found.value for row in points.values() for found in row.values())
    return Chart(
        title=title,
        label=label,
        x=linear_axis(x, most, 3, _NARROW_ROOM) if narrow else linear_axis(x, most, 8, _ROOM),
        y=rows,
        values="x",
        marks=tuple(_mark(at, name, image, found, images) for at, (name, image, found) in _in_order(points, images)),
        bars=tuple((float(at), mean(row)) for at, row in enumerate(points.values())),
        notes=tuple((float(at), text) for at, text in enumerate(notes)),
        dividers=tuple(dividers),
        legend=tuple((f"m{at}", at, shortened(image, 18)) for at, image in enumerate(images)) if 1 < len(images) <= _MOST_IMAGES else (),
    )


def mean(row: Mapping[str, Separation]) -> float:
    """Return the mean over images of what is shown."""
    return float(np.mean([found.value for found in row.values()]))


def image_names(points: Points) -> list[str]:
    """Return the images of all rows, in order of first appearance."""
    return list(dict.fromkeys(name for row in points.values() for name in row))


def dodge(at: int, count: int, room: float) -> float:
    """Return how far the mark of one of several images is moved from the middle of its row, so that equal values are seen."""
    return 0.0 if count < 2 else round(room * (at / (count - 1) - 0.5), 2)


def _in_order(points: Points, images: Sequence[str]) -> list[tuple[int, tuple[str, str, Separation]]]:
    return [(at, (name, image, row[image])) for at, (name, row) in enumerate(points.items()) for image in images if image in row]


def _mark(row: int, name: str, image: str, found: Separation, images: Sequence[str]) -> Mark:
    few = len(images) <= _MOST_IMAGES
    at = images.index(image) if few else 0
    text = quantity_text(found.value, (found.low, found.high), form="long", typeset=True, symbol="D")
    return Mark(
        x=found.value,
        y=row + (dodge(at, len(images), _DODGE) if few else 0.0),
        role=f"m{at}" if few else "other",
        title=f"{name}, {image}: {text}",
        shape=at,
        limit="at least" if found.is_bound else "",
        span=None if found.is_bound else (found.low, found.high),
    )
