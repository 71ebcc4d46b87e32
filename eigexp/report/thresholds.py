"""Predicted thresholds of models, layers and images: the table and the figure of a comparison as in Berardino et al. (2017).

A distortion of eigenvalue lambda is predicted to be seen from the norm 1/sqrt(lambda) on. The logarithms of the thresholds of the least
and the most noticeable distortion differ by D = 1/2 ln(lambda_1 / lambda_n), which the scale of a model's responses does not change.
"""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eigexp.report.compare import MARKERS, MEAN, Separation, dodge, mean
from eigexp.report.style import MUTED, PALETTE, house_style, new_figure
from eigexp.report.view import View
from eigexp.report.words import d_words, layer_words, number, shortened
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
    """One row of COLUMNS a result with both ends: front ends first, models and layers in order of name, then images.

    `D_low` and `D_high` are what the eigenvalues' intervals leave open. Where that of the smallest eigenvalue reaches zero there is no
    upper bound: `D_high` is infinite, `words` say "at least", and `threshold_least` is a lower bound too. `D` is None where the smallest
    eigenvalue found is zero to the precision of the products.
    """
    rows = [row for result in results if (row := _row(View.of_record(result.record))) is not None]
    return sorted(rows, key=lambda row: (_model_order(row["model"]), _natural(row["layer"]), row["image"], row["id"]))


def thresholds_csv(rows: Sequence[Row]) -> str:
    """The table as CSV with every column and digit; empty for None, inf for no bound."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def thresholds_text(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    lines = [list(_SHOWN.values()), *([_cell(name, row) for name in _SHOWN] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_SHOWN))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def thresholds_figure(results: Iterable[Result], size: tuple[float, float] | None = None) -> Figure:
    """D of every model and layer, in the table's order: a mark an image, a line its interval, an arrow "at least"; the bar is the mean.

    Args:
        results: of one size of image, so that they can be compared.
        size: inches; by default as high as the rows need.
    """
    rows = thresholds_table(results)
    images = sorted({row["image"] for row in rows})
    with house_style():
        figure = new_figure(*(size or (7.4, thresholds_height(rows))))
        _draw(figure.add_subplot(), _by_row(rows), images)
        if 1 < len(images) <= len(PALETTE):
            legend = figure.legend(loc="outside lower center", ncols=3 if figure.get_figwidth() < 5 else len(images))
            for text in legend.get_texts():
                text.set_parse_math(False)
    return figure


def thresholds_height(rows: Sequence[Row]) -> float:
    """Inches that the figure needs."""
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
        "layer": layer_words(record) if record.get("layer") else "",
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
        return ("" if row["bottom_low"] > 0 else "\u2265 ") + number(row[name])
    return number(row[name]) if isinstance(row[name], float) else str(row[name])


def _model_order(name: str) -> tuple[int, str]:
    return (_FRONT_ENDS.index(name), name) if name in _FRONT_ENDS else (len(_FRONT_ENDS), name)


def _natural(text: str) -> list[tuple[int, str]]:
    """Numbers within text by their value."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def _by_row(rows: Sequence[Row]) -> dict[tuple[str, str], dict[str, Row]]:
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        found.setdefault((row["model"], row["layer"]), {})[row["image"]] = row
    return found


def _separation(row: Row) -> Separation:
    if row["D"] is None or math.isinf(row["D_high"]):
        return Separation(row["D_low"], row["D_low"], math.inf)
    return Separation(row["D"], row["D_low"], row["D_high"])


def _draw(axes: Axes, groups: Mapping[tuple[str, str], Mapping[str, Row]], images: Sequence[str]) -> None:
    narrow = axes.figure.get_figwidth() < 5  # pyright: ignore[reportAttributeAccessIssue]
    what = "D = \u00bd ln(\u03bb\u2081/\u03bb\u2099)"
    axes.set_title(what if narrow else f"{what}: how much easier the most noticeable is to see")
    axes.set_xlabel("D  (bar: mean; \u2192 at least)" if narrow else "difference of predicted log thresholds  (bar: mean; \u2192 at least)")
    axes.grid(visible=False, axis="y")
    if not groups:
        axes.text(0.5, 0.5, "no result with both ends", transform=axes.transAxes, ha="center", va="center", color=MUTED)
        axes.set_yticks([])
        return
    points = [{image: _separation(row) for image, row in by_image.items()} for by_image in groups.values()]
    for at, found in enumerate(points):
        axes.barh(at, mean(found), height=0.76, color=MEAN)
        axes.text(1.01, at, _mean_words(list(found.values())), transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    few = len(images) <= len(PALETTE)
    for place, image in enumerate(images):
        colour, marker = (PALETTE[place], MARKERS[place]) if few else (MUTED, "o")
        moved = dodge(place, len(images), 0.56) if few else 0.0
        rows = [(at + moved, found[image]) for at, found in enumerate(points) if image in found]
        _draw_image(axes, rows, colour, marker, shortened(image, 24).lstrip("_"))
    _label_rows(axes, groups)
    axes.set_xlim(0, (1.25 if narrow else 1.1) * max(found.value for row in points for found in row.values()))


def _draw_image(axes: Axes, rows: Sequence[tuple[float, Separation]], colour: str, marker: str, label: str) -> None:
    """Filled marks for values, open ones with an arrow for lower bounds."""
    faces = ["white" if found.is_bound else colour for _, found in rows]
    places = [found.value for _, found in rows], [at for at, _ in rows]
    axes.scatter(*places, s=20, marker=marker, facecolors=faces, edgecolors=colour, linewidths=1.1, zorder=3)
    axes.scatter([], [], s=20, marker=marker, color=colour, label=label)
    for at, found in rows:
        if found.is_bound:
            arrow = {"arrowstyle": "<-", "color": colour, "lw": 1.0, "shrinkA": 0, "shrinkB": 3}
            axes.annotate("", (found.value, at), (14, 0), textcoords="offset points", arrowprops=arrow)
        else:
            axes.plot([found.low, found.high], [at, at], color=colour, linewidth=1.2)


def _label_rows(axes: Axes, groups: Mapping[tuple[str, str], Mapping[str, Row]]) -> None:
    """A model's name stands with its first row, and that its weights are random; a line parts models."""
    names, labels = list(groups), []
    for at, ((model, layer), by_image) in enumerate(groups.items()):
        first = at == 0 or names[at - 1][0] != model
        random = " (random)" if any("random weights" in row["notes"] for row in by_image.values()) else ""
        labels.append(shortened(f"{model}{random} {layer}".strip() if first else layer, 36))
        if first and at:
            axes.axhline(at - 0.5, color="#BBBBBB", linewidth=0.7)
    axes.set_yticks(range(len(names)), labels, parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)


def _mean_words(found: Sequence[Separation]) -> str:
    """The mean over images: "5.78", or "at least" that where one of them is a bound."""
    at_least = "\u2265 " if any(f.is_bound for f in found) else ""
    return f"{at_least}{np.mean([f.value for f in found]):.2f}"
