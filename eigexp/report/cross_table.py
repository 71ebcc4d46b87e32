"""Layers against each other: how noticeable each layer's extremal distortions are to every other, as a heat map for figures and pages.

Rows are the layers whose distortions are shown, columns those that respond. A cell is v^T F_l v over the largest eigenvalue of the column's
layer l: 1 is as noticeable as that layer's own most noticeable distortion, whatever the scale of its responses.
"""

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.colors import LogNorm, to_hex
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eigexp.report.cards import Chart
from eigexp.report.commands import DIGITS, plot_command
from eigexp.report.style import house_style, new_figure
from eigexp.report.words import number, shortened
from eigexp.store.cross_table import SensitivityTable

ENDS = ((0, "most noticeable distortion of"), (-1, "least noticeable distortion of"))
COLOURS = "cividis"  # read by colour-blind eyes, and in grey
FLOOR = 1e-8
_SIDE, _LEFT, _TOP, _GAP, _BAR = 230, 130, 118, 46, 92
_MOST_NUMBERS = 7  # layers beyond which cells are too small for text
Map = NDArray[np.float64]


def sensitivity_svg(table: SensitivityTable) -> str:
    """Two heat maps of one table, of the most and of the least noticeable distortions, as inline SVG with one logarithmic scale."""
    maps = _maps(table)
    names, cell = table.layers, _SIDE / len(table.layers)
    width = _LEFT + len(maps) * (_SIDE + _GAP) + _BAR
    label = f"sensitivity of the layers of {_heading(table)} to each other's distortions, log scale"
    svg = Element("svg", {"viewBox": f"0 0 {width} {_TOP + _SIDE + 12}", "role": "img", "aria-label": label, "class": "chart"})
    lowest = _lowest(maps)
    for at, (title, values) in enumerate(maps):
        left = _LEFT + at * (_SIDE + _GAP)
        _label(svg, left, 14, f"{title} the row's layer,", anchor="start")
        _label(svg, left, 28, "as the column's layer sees it", anchor="start")
        for i, name in enumerate(names):
            if at == 0:
                _label(svg, left - 6, _TOP + (i + 0.5) * cell + 4, shortened(name, 20), anchor="end")
            x = left + (i + 0.5) * cell + 4
            _label(svg, x, _TOP - 6, shortened(name, 14), anchor="start", turn=-60)
        for i, j in np.ndindex(values.shape):
            _cell(svg, (left + j * cell, _TOP + i * cell, cell), float(values[i, j]), lowest, f"{names[i]} seen by {names[j]}", len(names))
    _colour_bar(svg, width - _BAR + 8, lowest)
    return tostring(svg, encoding="unicode")


def sensitivity_figure(table: SensitivityTable, size: tuple[float, float] | None = None) -> Figure:
    """The same as a figure.

    Args:
        table: of one image.
        size: inches.
    """
    maps, names = _maps(table), [shortened(name, 20) for name in table.layers]
    with house_style():
        figure = new_figure(*(size or (7.4, 3.9)))
        narrow = figure.get_figwidth() < 5
        axes = figure.subplots(*((len(maps), 1) if narrow else (1, len(maps))), squeeze=False).ravel()
        norm = LogNorm(_lowest(maps), 1.0)
        for at, (axis, (title, values)) in enumerate(zip(axes, maps, strict=True)):
            picture = axis.imshow(np.clip(values, norm.vmin, 1.0), cmap=COLOURS, norm=norm)
            axis.set_title(f"{title} \u2026", fontsize=8)
            shown = names if at == len(maps) - 1 or not narrow else [""] * len(names)
            axis.set_xticks(range(len(names)), shown, rotation=60, ha="right", rotation_mode="anchor", parse_math=False)
            axis.set_yticks(range(len(names)), names if at == 0 or narrow else [""] * len(names), parse_math=False)
            axis.grid(visible=False)
            _write_numbers(axis, values, float(norm.vmin or FLOOR))
            if at == len(maps) - 1:
                figure.colorbar(picture, ax=list(axes), label="v\u1d40F v / \u03bb\u2081 of the layer that sees", shrink=0.85)
        figure.supxlabel("\u2026 as seen by", fontsize=8)
        figure.suptitle(_heading(table), fontsize=9, fontweight="normal", parse_math=False)
    return figure


def sensitivity_charts(tables: Sequence[SensitivityTable], ids: Collection[str], root: Path) -> list[Chart]:
    """A chart for each table all of whose results are among `ids`, for a page.

    Args:
        tables: of a store.
        ids: results that the page shows.
        root: of the store.
    """
    shown = [table for table in tables if set(table.ids) <= set(ids)]
    return [
        Chart(
            f"{_heading(table)}: rows, the layers whose distortions these are; columns, the layers that see them.",
            Markup(sensitivity_svg(table)),
            plot_command(root, "sensitivity", table.id[:DIGITS]),
        )
        for table in shown
    ]


def _heading(table: SensitivityTable) -> str:
    return f"{table.record['model']}, {table.record['image']['name']}"


def _maps(table: SensitivityTable) -> list[tuple[str, Map]]:
    """The ends that some layer has, each with its heat map."""
    found = [(title, table.relative(rank)) for rank, title in ENDS]
    return [(title, values) for title, values in found if not np.isnan(values).all()] or [(ENDS[0][1], table.relative(0))]


def _lowest(maps: Sequence[tuple[str, Map]]) -> float:
    """A power of ten below all cells, but for those that are zero."""
    values = np.concatenate([values.ravel() for _, values in maps])
    positive = values[np.isfinite(values) & (values > FLOOR)]
    return 10.0 ** math.floor(math.log10(positive.min())) if len(positive) and positive.min() < 1 else 0.1


def _share(value: float, lowest: float) -> float:
    """Where a value lies on the scale: 0 at its lowest, 1 at 1."""
    return min(max(1 - math.log10(max(value, lowest)) / math.log10(lowest), 0.0), 1.0)


def _short(value: float) -> str:
    """A value in as few characters as tell its size."""
    if value < FLOOR:
        return "0"
    if value >= 0.095:
        return f"{value:.2f}".removeprefix("0") if value < 0.995 else "1"
    factor, _, power = f"{value:.0e}".partition("e")
    return f"{factor}e{int(power)}".replace("-", "\u2212")


def _colours(share: float) -> tuple[str, str]:
    """The colour of a cell, and that of text upon it."""
    r, g, b, _ = matplotlib.colormaps[COLOURS](share)
    light = 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.45
    return to_hex((r, g, b)), "#000000" if light else "#ffffff"


def _cell(svg: Element, at: tuple[float, float, float], value: float, lowest: float, label: str, layers: int) -> None:
    x, y, side = at
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{side - 1:.1f}", "height": f"{side - 1:.1f}"}
    if math.isnan(value):
        SubElement(svg, "rect", {**place, "class": "mean"})
        return
    colour, text = _colours(_share(value, lowest))
    rect = SubElement(svg, "rect", {**place, "style": f"fill:{colour}"})
    SubElement(rect, "title").text = f"{label}: {number(value, 4)} of its largest eigenvalue"
    if layers <= _MOST_NUMBERS:
        _label(svg, x + side / 2 - 0.5, y + side / 2 + 3.5, _short(value), anchor="middle", style=f"fill:{text};pointer-events:none")


def _colour_bar(svg: Element, x: float, lowest: float) -> None:
    steps = 48
    for i in range(steps):
        height = _SIDE / steps
        y = _TOP + _SIDE - (i + 1) * height
        colour, _ = _colours((i + 0.5) / steps)
        SubElement(svg, "rect", {"x": str(x), "y": f"{y:.2f}", "width": "12", "height": f"{height + 0.3:.2f}", "style": f"fill:{colour}"})
    powers = round(-math.log10(lowest))
    for power in range(0, powers + 1, -(-powers // 5)):
        _label(svg, x + 18, _TOP + 4 + _SIDE * power / powers, number(10.0**-power, 2), anchor="start")


def _label(svg: Element, x: float, y: float, words: str, *, anchor: str, turn: int = 0, style: str = "") -> None:
    more: dict[str, Any] = {"transform": f"rotate({turn} {x:.1f} {y:.1f})"} if turn else {}
    if style:
        more["style"] = style
    SubElement(svg, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, **more}).text = words


def _write_numbers(axis: Any, values: Map, lowest: float) -> None:
    if len(values) > _MOST_NUMBERS:
        return
    size = 5.5 if axis.figure.get_figwidth() < 5 else 7
    for i, j in np.ndindex(values.shape):
        if not math.isnan(values[i, j]):
            _, text = _colours(_share(float(values[i, j]), lowest))
            axis.text(j, i, _short(float(values[i, j])), ha="center", va="center", color=text, fontsize=size)
