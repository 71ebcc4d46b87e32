"""Predicted thresholds of models, layers and images: the table and the figure of a comparison as in Berardino et al. (2017).

A distortion of eigenvalue lambda is predicted to be seen from the norm 1/sqrt(lambda) on. The logarithms of the thresholds of the least
and the most noticeable distortion differ by D = 1/2 ln(lambda_1 / lambda_n), which the scale of a model's responses does not change.
"""

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.figure import Figure

from eigexp.report.axes import NARROW, chart_figure
from eigexp.report.chart import Chart
from eigexp.report.compare import Separation, mean, separation_chart
from eigexp.report.view import View
from eigexp.report.words import d_words, shortened
from eigexp.store.labels import layer_label, number, threshold_text
from eigexp.store.result import Result

COLUMNS: tuple[str, ...] = (
    "model",
    "layer",
    "image",
    "n",
    "m",
    "top",
    "bottom",
    "bottom_low",
    "bottom_high",
    "threshold_most",
    "threshold_least",
    "D",
    "D_low",
    "D_high",
    "words",
    "evidence_top",
    "evidence_bottom",
    "notes",
    "id",
)
_SHOWN = {
    "model": "model",
    "layer": "layer",
    "image": "image",
    "threshold_most": "1/\u221a\u03bb\u2081",
    "threshold_least": "1/\u221a\u03bb\u2099",
    "words": "D",
}
_FRONT_ENDS = ("ln", "lg", "lgg", "onoff")
Row = dict[str, Any]


def thresholds_table(results: Iterable[Result]) -> list[Row]:
    """Return a row of COLUMNS for each result with both ends: front ends first, models and layers in order of name, then images.

    `D_low` and `D_high` are what the eigenvalues' intervals leave open. Where that of the smallest eigenvalue reaches zero there is no
    upper bound: `D_high` is infinite, `D` is None, `words` say "at least", and `threshold_least` is a lower bound too.
    """
    rows = [row for result in results if (row := _row(View.of_record(result.record))) is not None]
    return sorted(rows, key=lambda row: (_model_order(row["model"]), _natural(row["layer"]), row["image"], row["id"]))


def thresholds_csv(rows: Sequence[Row]) -> str:
    """Return the table as CSV with every column and digit; empty for None, inf for no bound."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def thresholds_text(rows: Sequence[Row]) -> str:
    """Return the table for a terminal."""
    lines = [list(_SHOWN.values()), *([_cell(name, row) for name in _SHOWN] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_SHOWN))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def thresholds_figure(results: Iterable[Result], size: tuple[float, float] | None = None) -> Figure:
    """Return D of every model and layer, in the table's order, as a figure; see `separation_chart`.

    Args:
        results: of one size of image, so that they can be compared.
        size: inches; by default as high as the rows need.
    """
    rows = thresholds_table(results)
    width, height = size or (7.4, thresholds_height(rows))
    return chart_figure(thresholds_chart(rows, narrow=width < NARROW), (width, height))


def thresholds_chart(rows: Sequence[Row], *, narrow: bool = False) -> Chart:
    """Return the chart of a table: the mean stands at the right of each row, and a line parts models.

    Args:
        rows: of `thresholds_table`.
        narrow: with short words, for one column of a journal.
    """
    groups, what = _by_row(rows), "D = \u00bd ln(\u03bb\u2081/\u03bb\u2099)"
    points = {f"{model} {layer}": {image: _separation(row) for image, row in sorted(by.items())} for (model, layer), by in groups.items()}
    names = list(groups)
    first = [at == 0 or names[at - 1][0] != model for at, (model, _) in enumerate(names)]
    return separation_chart(
        points,
        title=what if narrow else f"{what}: how much easier the most noticeable is to see",
        x="D  (bar: mean; \u2192 at least)" if narrow else "difference of predicted log thresholds  (bar: mean; \u2192 at least)",
        labels=[_row_label(names[at], by.values(), first=first[at]) for at, by in enumerate(groups.values())],
        notes=[_mean_text(list(found.values())) for found in points.values()],
        dividers=[at - 0.5 for at, new in enumerate(first) if new and at],
        narrow=narrow,
    )


def thresholds_height(rows: Sequence[Row]) -> float:
    """Return the inches that the figure needs."""
    return 1.5 + 0.32 * max(len(_by_row(rows)), 1)


def _row(view: View) -> Row | None:
    bounds, bottom, top = view.d_bounds, view.position(-1), view.position(0)
    if bounds is None or bottom is None or top is None:
        return None
    record, (low, high) = view.record, view.intervals[bottom].tolist()
    largest, smallest = float(view.eigenvalues[top]), float(view.eigenvalues[bottom])
    least = smallest if low > 0 else high
    evidence = record.get("evidence") or {}
    return {
        "model": record["model"],
        "layer": layer_label(record["layer"]) if record.get("layer") else "",
        "image": record["image"]["name"],
        "n": record["n"],
        "m": record["m"],
        "top": largest,
        "bottom": smallest,
        "bottom_low": low,
        "bottom_high": high,
        "threshold_most": largest**-0.5 if largest > 0 else math.inf,
        "threshold_least": least**-0.5 if least > 0 else math.inf,
        "D": view.d,
        "D_low": bounds[0],
        "D_high": bounds[1],
        "words": d_words(view.d, bounds),
        "evidence_top": evidence.get("top"),
        "evidence_bottom": evidence.get("bottom"),
        "notes": "; ".join(record.get("notes") or ()),
        "id": record["id"],
    }


def _cell(name: str, row: Row) -> str:
    if name == "threshold_least":
        return threshold_text(row["bottom"], (row["bottom_low"], row["bottom_high"]), typeset=True)
    return number(row[name]) if isinstance(row[name], float) else str(row[name])


def _model_order(name: str) -> tuple[int, str]:
    return (_FRONT_ENDS.index(name), name) if name in _FRONT_ENDS else (len(_FRONT_ENDS), name)


def _natural(text: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers within text by their value."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def _by_row(rows: Sequence[Row]) -> dict[tuple[str, str], dict[str, Row]]:
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        found.setdefault((row["model"], row["layer"]), {})[row["image"]] = row
    return found


def _separation(row: Row) -> Separation:
    return Separation.within(row["D"], row["D_low"], row["D_high"])


def _row_label(name: tuple[str, str], rows: Iterable[Row], *, first: bool) -> str:
    """Return a row's label: a model's name, and that its weights are random, stand with its first row."""
    model, layer = name
    random = " (random)" if any("random weights" in row["notes"] for row in rows) else ""
    return shortened(f"{model}{random} {layer}".strip() if first else layer, 36)


def _mean_text(found: Sequence[Separation]) -> str:
    """Return the mean over images: "5.78", or "at least" that, rounded down, where one of them is a bound."""
    value = mean({str(i): f for i, f in enumerate(found)})
    return f"\u2265 {math.floor(100 * value) / 100:.2f}" if any(f.is_bound for f in found) else f"{value:.2f}"
