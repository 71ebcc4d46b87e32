"""How a solver got there: residuals and eigenvalues against Fisher-vector products."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eigexp.report.style import BOTTOM, MUTED, TOP, house_style, new_figure
from eigexp.report.view import View
from eigexp.report.words import UNITS, rank_label

Quantity = Literal["residual", "eigenvalue"]
Series = dict[int, tuple[list[float], list[float]]]
MOST_POINTS = 400
_COLUMN = re.compile(r"(residual|eigenvalue)/(\d+)")


def curves_figure(
    result: Any,
    record: Mapping[str, Any] | None = None,
    curves: Sequence[Mapping[str, Any]] | None = None,
    quantity: Quantity = "residual",
    size: tuple[float, float] = (4.6, 3.2),
) -> Figure:
    """A result's convergence curves; see `draw_curves`.

    Args:
        result: a stored Result, or arrays by the names of pairs.safetensors.
        record: of the result, where arrays are given.
        curves: rows of curves.csv, where arrays are given.
        quantity: "residual" (relative to the largest eigenvalue) or "eigenvalue".
        size: inches.
    """
    view = View.of(result, record, curves)
    with house_style():
        figure = new_figure(*size)
        draw_curves(figure.add_subplot(), view, quantity)
    return figure


def draw_curves(axes: Axes, view: View, quantity: Quantity = "residual") -> None:
    """Draw the residuals over the largest eigenvalue, or the eigenvalues, of each pair against products, log axis.

    Most noticeable pairs are solid, least noticeable dashed; the asked tolerance is a dotted line.
    """
    title, label = {
        "residual": ("convergence: residual / \u03bb\u2081", "\u2016F v \u2212 \u03b8 v\u2016 / \u03bb\u2081"),
        "eigenvalue": ("convergence: eigenvalues", f"\u03bb  ({UNITS})"),
    }[quantity]
    axes.set_title(title)
    axes.set_xlabel("Fisher-vector products")
    axes.set_ylabel(label)
    series = curve_series(view.curves, quantity, view.largest if quantity == "residual" else 1.0)
    if not series:
        axes.text(0.5, 0.5, "no curves kept", transform=axes.transAxes, ha="center", va="center", color=MUTED)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    axes.set_yscale("log")
    for rank, (x, y) in series.items():
        near_top = rank < view.n / 2
        depth = min(rank, view.n - 1 - rank)
        axes.plot(x, y, color=TOP if near_top else BOTTOM, linestyle="-" if near_top else (0, (4, 1.5)), linewidth=1 if depth else 1.6,
                  alpha=0.5 if depth else 1.0, marker="o" if len(x) == 1 else None,
                  label=None if depth else f"rank {rank_label(rank, view.n)}")  # fmt: skip
    tolerance = ((view.record.get("tolerances") or {}).get("asked") or {}).get("tol")
    if quantity == "residual" and tolerance:
        axes.axhline(tolerance, color=MUTED, linestyle=":", linewidth=1.2, label="asked")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")


def curve_series(rows: Sequence[Mapping[str, Any]], quantity: Quantity, over: float = 1.0) -> Series:
    """The positive finite values of each rank, thinned to some hundred points: {rank: (products, values)}, largest eigenvalue first.

    Args:
        rows: of curves.csv.
        quantity: which columns.
        over: what values are divided by.
    """
    found: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for at, row in enumerate(rows, 1):
        products = row.get("fisher_vector_products") or row.get("step") or at
        for key, value in row.items():
            match = _COLUMN.fullmatch(key)
            if match and match[1] == quantity and isinstance(value, int | float) and np.isfinite(value) and value > 0 and over > 0:
                found[int(match[2])].append((float(products), value / over))
    return {rank: _thinned(found[rank]) for rank in sorted(found)}


def _thinned(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    keep = np.unique(np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).round().astype(int))
    return [points[i][0] for i in keep], [points[i][1] for i in keep]
