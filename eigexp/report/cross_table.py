"""Cross tables of layers: how noticeable each layer's extremal distortions are to every other layer, as heat maps for figures and pages.

Rows are the layers whose distortions are shown, columns those that respond. A cell is v^T F_l v over the largest eigenvalue of the column's
layer l: 1 is as noticeable as that layer's own most noticeable distortion, whatever the scale of its responses.
"""

import math
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eigexp.report.cards import PageFigure
from eigexp.report.chart import power_of_ten
from eigexp.report.commands import plot_command
from eigexp.report.heatmap import Cell, HeatMaps, heat_figure, heat_svg
from eigexp.store.cross_table import CrossTable
from eigexp.store.labels import ID_DIGITS, number

ENDS = ((0, "most noticeable distortions"), (-1, "least noticeable distortions"))
FLOOR = 1e-8
_MOST_NUMBERS = 7  # layers beyond which cells are too small for text
_MOST_TICKS = 5
Map = NDArray[np.float64]


def cross_figure(table: CrossTable, size: tuple[float, float] | None = None) -> Figure:
    """Return the heat maps of one image's table as a figure of `size` inches."""
    return heat_figure(heat_maps(table), size or (7.4, 3.9))


def heat_maps(table: CrossTable) -> HeatMaps:
    """Return the heat maps of a table, of the most and of the least noticeable distortions, on one logarithmic scale up to 1."""
    maps, names = _maps(table), tuple(table.layers)
    lowest = _lowest([values for _, values in maps])
    powers = round(-math.log10(lowest))
    kept = range(0, powers + 1, -(-powers // _MOST_TICKS))
    return HeatMaps(
        heading=_heading(table),
        label=f"sensitivity of the layers of {_heading(table)} to each other's distortions, log scale",
        names=names,
        maps=tuple((title, tuple(_cells(values, names, lowest))) for title, values in maps),
        ticks=tuple((1 - power / powers, power_of_ten(-power) if power else "1") for power in kept),
        unit="v\u1d40F v / \u03bb\u2081 of the column's layer",
        down="distortion of layer",
        across="response of layer",
    )


def cross_charts(tables: Sequence[CrossTable], ids: Collection[str], root: Path) -> list[PageFigure]:
    """Return a page's figure for each table all of whose results are among `ids`.

    Args:
        tables: of a store.
        ids: results that the page shows.
        root: of the store.
    """
    shown = [table for table in tables if set(table.ids) <= set(ids)]
    return [
        PageFigure(
            f"{_heading(table)}: rows are the layers to which the distortions belong, columns the layers that respond.",
            Markup(heat_svg(heat_maps(table))),
            plot_command(root, "cross", table.id[:ID_DIGITS]),
            ids=table.ids,
        )
        for table in shown
    ]


def _cells(values: Map, names: Sequence[str], lowest: float) -> list[Cell]:
    cells = []
    for i, j in np.ndindex(values.shape):
        value = float(values[i, j])
        if math.isnan(value):
            cells.append(Cell(i, j, None))
            continue
        title = f"distortion of {names[i]}, response of {names[j]}: {number(value, 4)} of its largest eigenvalue"
        cells.append(Cell(i, j, _share(value, lowest), _short(value) if len(names) <= _MOST_NUMBERS else "", title))
    return cells


def _heading(table: CrossTable) -> str:
    return f"{table.record['model']}, {table.record['image']['name']}"


def _maps(table: CrossTable) -> list[tuple[str, Map]]:
    """Return the ends that some layer has, each with its values."""
    found = [(title, table.relative(index)) for index, title in ENDS]
    return [(title, values) for title, values in found if not np.isnan(values).all()] or [(ENDS[0][1], table.relative(0))]


def _lowest(maps: Sequence[Map]) -> float:
    """Return a power of ten below all values, but for those that are zero."""
    values = np.concatenate([values.ravel() for values in maps])
    positive = values[np.isfinite(values) & (values > FLOOR)]
    return 10.0 ** math.floor(math.log10(positive.min())) if len(positive) and positive.min() < 1 else 0.1


def _share(value: float, lowest: float) -> float:
    """Return where a value lies on the scale: 0 at its lowest, 1 at 1."""
    return min(max(1 - math.log10(max(value, lowest)) / math.log10(lowest), 0.0), 1.0)


def _short(value: float) -> str:
    """Return a value in as few characters as tell its size."""
    if value < FLOOR:
        return "0"
    if value >= 0.095:
        return f"{value:.2f}".removeprefix("0") if value < 0.995 else "1"
    factor, _, power = f"{value:.0e}".partition("e")
    return f"{factor}e{int(power)}".replace("-", "\u2212")
