"""Models and images compared by D = 1/2 ln(lambda_1 / lambda_n): how much more noticeable the one end is than the other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eigexp.report.style import MUTED, PALETTE, house_style, new_figure
from eigexp.report.view import View
from eigexp.report.words import layer_words, shortened

MARKERS = "osD^vPX"
MEAN = "#E8E8E8"


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
        """Whether D is only known to be at least `value`."""
        return math.isinf(self.high)


Points = dict[str, dict[str, Separation]]


def comparison_figure(views: Sequence[View], size: tuple[float, float] | None = None) -> Figure:
    """D of every result that has both ends: one row a model (and layer), one mark an image, one bar the mean; largest first.

    A thin line is the interval; an arrow says that D is at least so much, because the smallest eigenvalue may be zero.

    Args:
        views: `View.of(result)` each.
        size: inches; by default as high as the rows need.
    """
    points = comparison(views)
    images = image_names(points)
    with house_style():
        figure = new_figure(*(size or (7.4, comparison_height(points))))
        draw_comparison(figure.add_subplot(), points, images)
        if 1 < len(images) <= len(PALETTE):
            narrow = figure.get_figwidth() < 5
            legend = figure.legend(loc="outside lower center" if narrow else "outside right upper", title="image", ncols=3 if narrow else 1)
            for text in legend.get_texts():
                text.set_parse_math(False)
    return figure


def comparison_height(points: Points) -> float:
    """Inches that a chart of these rows needs."""
    return 1.5 + 0.34 * max(len(points), 1)


def comparison(views: Sequence[View]) -> Points:
    """{model and layer: {image: D}}, models with the largest mean first; the last of several results of one pair counts."""
    found: Points = {}
    for view in views:
        separation = separation_of(view)
        if separation is not None:
            layer = f", {layer_words(view.record)}" if view.record.get("layer") else ""
            name = f"{view.record.get('model', 'model')}{layer}"
            found.setdefault(name, {})[str((view.record.get("image") or {}).get("name", "image"))] = separation
    return dict(sorted(found.items(), key=lambda item: -mean(item[1])))


def separation_of(view: View) -> Separation | None:
    """D of a result with its bounds, None without both ends or without anything known of it."""
    if view.d_bounds is None:
        return None
    low, high = view.d_bounds
    if view.d is None or math.isinf(high):
        return Separation(low, low, math.inf) if 0 < low < math.inf else None
    return Separation(view.d, low, high)


def mean(row: dict[str, Separation]) -> float:
    """The mean over images of what is shown."""
    return float(np.mean([found.value for found in row.values()]))


def image_names(points: Points) -> list[str]:
    """The images of all rows, in order of first appearance."""
    return list(dict.fromkeys(name for row in points.values() for name in row))


def dodge(at: int, count: int, room: float) -> float:
    """How far the mark of one of several images is moved from the middle of its row, so that equal values are seen."""
    return 0.0 if count < 2 else round(room * (at / (count - 1) - 0.5), 2)


def draw_comparison(axes: Axes, points: Points, images: Sequence[str]) -> None:
    """Draw one row a model, best read from the top."""
    axes.set_title("D = \u00bd ln(\u03bb\u2081/\u03bb\u2099), \u2192 at least")
    axes.set_xlabel("D  (ln of the ratio of predicted thresholds)")
    axes.grid(visible=False, axis="y")
    if not points:
        axes.text(0.5, 0.5, "no result with both ends", transform=axes.transAxes, ha="center", va="center", color=MUTED)
        axes.set_yticks([])
        return
    for row, values in enumerate(points.values()):
        axes.barh(row, mean(values), height=0.72, color=MEAN)
    few = len(images) <= len(PALETTE)
    for at, image in enumerate(images):
        rows = [row + (dodge(at, len(images), 0.5) if few else 0.0) for row, values in enumerate(points.values()) if image in values]
        found = [values[image] for values in points.values() if image in values]
        colour, marker = (PALETTE[at], MARKERS[at]) if few else (MUTED, "o")
        _draw_marks(axes, rows, found, colour, marker, shortened(image, 24).lstrip("_"))
    axes.set_yticks(range(len(points)), [shortened(name, 32) for name in points], parse_math=False)
    axes.set_ylim(len(points) - 0.4, -0.6)
    axes.set_xlim(0, 1.12 * max(found.value for row in points.values() for found in row.values()))  # room for arrows


def _draw_marks(axes: Axes, rows: list[float], found: list[Separation], colour: str, marker: str, label: str) -> None:
    axes.scatter([f.value for f in found], rows, s=22, color=colour, marker=marker, zorder=3, alpha=0.9, label=label)
    for row, separation in zip(rows, found, strict=True):
        if separation.is_bound:
            arrow = {"arrowstyle": "<-", "color": colour, "lw": 1.2, "shrinkA": 0, "shrinkB": 2}
            axes.annotate("", (separation.value, row), (16, 0), textcoords="offset points", arrowprops=arrow)
        else:
            axes.plot([separation.low, separation.high], [row, row], color=colour, linewidth=1.2)
