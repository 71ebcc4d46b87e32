"""Models and images compared by D = 1/2 ln(lambda_1 / lambda_n): how much more noticeable the one end is than the other."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eigexp.report.style import MUTED, PALETTE, house_style, new_figure
from eigexp.report.view import View
from eigexp.report.words import layer_words, shortened

Points = dict[str, dict[str, float]]
MARKERS = "osD^vPX"


def comparison_figure(views: Sequence[View]) -> Figure:
    """D of every result that has both ends: one row a model (and layer), one mark an image, one bar the mean; largest first.

    Args:
        views: `View.of(result)` each.
    """
    points = comparison(views)
    images = list(dict.fromkeys(name for row in points.values() for name in row))
    with house_style():
        figure = new_figure(7.4, 1.5 + 0.34 * max(len(points), 1))
        draw_comparison(figure.add_subplot(), points, images)
        if 1 < len(images) <= len(PALETTE):
            legend = figure.legend(loc="outside right upper", title="image")
            for text in legend.get_texts():
                text.set_parse_math(False)
    return figure


def comparison(views: Sequence[View]) -> Points:
    """{model and layer: {image: D}}, models with the largest mean first; the last of several results of one pair counts."""
    found: Points = {}
    for view in views:
        if view.d is not None:
            layer = f", {layer_words(view.record)}" if view.record.get("layer") else ""
            name = f"{view.record.get('model', 'model')}{layer}"
            found.setdefault(name, {})[str((view.record.get("image") or {}).get("name", "image"))] = view.d
    return dict(sorted(found.items(), key=lambda item: -float(np.mean(list(item[1].values())))))


def draw_comparison(axes: Axes, points: Points, images: Sequence[str]) -> None:
    """Draw one row a model, best read from the top."""
    axes.set_title("D = \u00bd ln(\u03bb\u2081/\u03bb\u2099): how much easier the top distortion is to see")
    axes.set_xlabel("D  (ln of the ratio of predicted thresholds)")
    axes.grid(visible=False, axis="y")
    if not points:
        axes.text(0.5, 0.5, "no result with both ends", transform=axes.transAxes, ha="center", va="center", color=MUTED)
        axes.set_yticks([])
        return
    for row, values in enumerate(points.values()):
        axes.barh(row, float(np.mean(list(values.values()))), height=0.6, color="#E8E8E8")
    few = len(images) <= len(PALETTE)
    for at, image in enumerate(images):
        rows = [row for row, values in enumerate(points.values()) if image in values]
        found = [values[image] for values in points.values() if image in values]
        colour, marker = (PALETTE[at], MARKERS[at]) if few else (MUTED, "o")
        axes.scatter(found, rows, s=26, color=colour, marker=marker, zorder=3, alpha=0.9, label=shortened(image, 24).lstrip("_"))
    axes.set_yticks(range(len(points)), [shortened(name, 32) for name in points], parse_math=False)
    axes.set_ylim(len(points) - 0.4, -0.6)
    axes.set_xlim(left=0)
