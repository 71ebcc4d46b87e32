"""Convergence of a solver: residuals and eigenvalues against Fisher-vector products."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from eigexp.report.axes import chart_figure
from eigexp.report.chart import Chart, Line, empty_chart, linear_axis, log_axis
from eigexp.report.view import View
from eigexp.report.words import unit_words
from eigexp.store.labels import eigenindex_label, end_of

Quantity = Literal["residual", "eigenvalue"]
Series = dict[int, tuple[list[float], list[float]]]
MOST_POINTS = 400
_ROOM = 1.02  # right of the last point
_COLUMN = re.compile(r"(residual|eigenvalue)/(\d+)")
_WORDS = {
    "residual": ("convergence: residual / λ₁", "‖F v − θ v‖ / λ₁"),
    "eigenvalue": ("convergence: eigenvalues", "λ  ({units})"),
}


def curves_figure(
    result: Any,
    record: Mapping[str, Any] | None = None,
    curves: Sequence[Mapping[str, Any]] | None = None,
    quantity: Quantity = "residual",
    size: tuple[float, float] = (4.6, 3.2),
) -> Figure:
    """Return a result's convergence curves; see `convergence`.

    Args:
        result: a stored Result, or arrays by the names of pairs.safetensors.
        record: of the result, where arrays are given.
        curves: rows of curves.csv, where arrays are given.
        quantity: "residual" (relative to the largest eigenvalue) or "eigenvalue".
        size: inches.
    """
    return chart_figure(convergence(View.of(result, record, curves), quantity), size)


def convergence(view: View, quantity: Quantity = "residual") -> Chart:
    """Return the chart of the residuals over the largest eigenvalue, or of the eigenvalues, of each pair against products, log axis.

    The dotted line is the requested tolerance.
    """
    (title, y), x = _WORDS[quantity], "Fisher-vector products"
    y = y.format(units=unit_words(view.record))
    label = f"{quantity} against Fisher-vector products, log axis"
    series = curve_series(view.curves, quantity, view.largest if quantity == "residual" else 1.0)
    if not series:
        return empty_chart(title, label, x, y, "no curves kept")
    tolerances = (view.record.get("tolerances") or {}).get("asked") or {}
    asked = (tolerances.get("tol") or None) if quantity == "residual" else None
    values = [value for _, ys in series.values() for value in ys] + ([asked] if asked else [])
    lines = tuple(_line(index, points, view.n) for index, points in series.items())
    products = linear_axis(x, max(xs[-1] for xs, _ in series.values()), 5, _ROOM)
    return Chart(title, label, products, log_axis(y, values), lines=lines, asked=asked)


def curve_series(rows: Sequence[Mapping[str, Any]], quantity: Quantity, over: float = 1.0) -> Series:
    """Return the positive finite values of each eigenindex, thinned to some hundred points: {eigenindex: (products, values)}.

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
    return {index: _thinned(found[index]) for index in sorted(found)}


def _line(index: int, series: tuple[list[float], list[float]], n: int) -> Line:
    minor = index not in (0, n - 1)
    label = "" if minor else f"eigenindex {eigenindex_label(index, n)}"
    return Line(tuple(zip(*series, strict=True)), end_of(index, n), f"eigenindex {index:,}", label, minor)


def _thinned(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    keep = np.unique(np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).round().astype(int))
    return [points[i][0] for i in keep], [points[i][1] for i in keep]
