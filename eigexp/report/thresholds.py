"""Predicted thresholds of models, layers and images: the table and the figure of a comparison as in Berardino et al. (2017).

A distortion of eigenvalue lambda is predicted to be seen from the norm 1/sqrt(lambda) on. The logarithms of the thresholds of the least
and the most noticeable distortion differ by D = 1/2 ln(lambda_1 / lambda_n), which the scale of a model's responses does not change.
"""

from matplotlib.figure import Figure

from eigexp.report.axes import NARROW, chart_figure
from eigexp.report.chart import Chart
from eigexp.report.separation import chart_height, groups, separation_chart
from eigexp.store.selection import Selection
from eigexp.store.table import cell, format_rows

_HEADINGS = {
    "model": "model",
    "layer": "layer",
    "image": "image",
    "settings": "settings",
    "threshold_top": "1/\u221a\u03bb\u2081",
    "threshold_bottom": "1/\u221a\u03bb\u2099",
    "D": "D",
}


def thresholds_csv(selection: Selection) -> str:
    """Return the table as CSV with every column and digit. A value of which only a bound is known is empty, its bound is not."""
    return format_rows(selection.table(), "csv", selection.columns) + "\n"


def thresholds_text(selection: Selection) -> str:
    """Return the table for a terminal; a question mark means not verified."""
    lines = [list(_HEADINGS.values())]
    for row in selection.rows:
        label = selection.labels[row["id"]]
        words = [label.model, label.layer, label.image, label.settings]
        lines.append([*words, *(cell(name, row, typeset=True) for name in ("threshold_top", "threshold_bottom", "D"))])
    kept = [i for i in range(len(_HEADINGS)) if any(line[i] for line in lines[1:])]
    widths = {i: max(len(line[i]) for line in lines) for i in kept}
    return "\n".join("  ".join(line[i].ljust(widths[i]) for i in kept).rstrip() for line in lines)


def thresholds_figure(selection: Selection, size: tuple[float, float] | None = None) -> Figure:
    """Return D of every model and layer, in the table's order, as a figure; see `separation_chart`.

    Args:
        selection: results of one size of image, so that they can be compared.
        size: inches; by default as high as the rows need.
    """
    width, height = size or (7.4, chart_height(selection))
    return chart_figure(thresholds_chart(selection, narrow=width < NARROW), (width, height))


def thresholds_chart(selection: Selection, *, narrow: bool = False) -> Chart:
    """Return the chart of a table: a model's name stands with its first row, and a line parts models.

    Args:
        selection: the results.
        narrow: with short words, for one column of a journal.
    """
    rows = groups(selection)
    first = [at == 0 or rows[at - 1].label.model != group.label.model for at, group in enumerate(rows)]
    labels = [
        group.label.row if new else group.label.row.removeprefix(f"{group.label.model}, ") for new, group in zip(first, rows, strict=True)
    ]
    dividers = [at - 0.5 for at, new in enumerate(first) if new and at]
    return separation_chart(selection, rows, labels=labels, dividers=dividers, narrow=narrow)
