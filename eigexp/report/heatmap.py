"""Heat maps as plain data, with a painter for figures and one for the page. Colours run from 0, the least, to 1."""

from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from eigexp.report.axes import NARROW
from eigexp.report.style import house_style, new_figure
from eigexp.report.words import shortened_apart

_COLOURS = "cividis"  # read by colour-blind eyes, and in grey
_SIDE, _LEFT, _TOP, _GAP, _BAR = 230, 130, 118, 46, 92
_STEPS = 48


@dataclass(frozen=True)
class Cell:
    """One value: its place between 0 and 1 on the scale (None where there is none), its number if there is room, and its title."""

    row: int
    column: int
    share: float | None
    text: str = ""
    title: str = ""


@dataclass(frozen=True)
class HeatMaps:
    """Square maps over one list of names, on one scale.

    Attributes:
        heading: what they show.
        label: describes them for readers who cannot see them.
        names: of rows and columns.
        maps: title and cells of each.
        ticks: shares of the scale and their labels.
        unit: of the scale.
        down: what the rows are.
        across: what the columns are.
    """

    heading: str
    label: str
    names: tuple[str, ...]
    maps: tuple[tuple[str, tuple[Cell, ...]], ...]
    ticks: tuple[tuple[float, str], ...]
    unit: str
    down: str
    across: str


def heat_figure(heat: HeatMaps, size: tuple[float, float] = (7.4, 3.9)) -> Figure:
    """Return heat maps as a figure: side by side, or one below the other in a narrow one."""
    with house_style():
        figure = new_figure(*size)
        narrow = figure.get_figwidth() < NARROW
        axes = figure.subplots(*((len(heat.maps), 1) if narrow else (1, len(heat.maps))), squeeze=False).ravel()
        for at, axis in enumerate(axes):
            _draw_map(axis, heat, at, rows=at == 0 or narrow, columns=at == len(axes) - 1 or not narrow)
        bar = figure.colorbar(axes[-1].images[0], ax=list(axes), label=heat.unit, shrink=0.85)
        bar.set_ticks([share for share, _ in heat.ticks], labels=[text for _, text in heat.ticks])
        figure.set_layout_engine("constrained", h_pad=0.08)  # inches between the heading and the maps' titles
        figure.supxlabel(heat.across, fontsize=8)
        figure.supylabel(heat.down, fontsize=8)
        figure.suptitle(heat.heading, fontsize=9, fontweight="normal", parse_math=False)
    return figure


def heat_svg(heat: HeatMaps) -> str:
    """Return heat maps side by side as SVG text."""
    cell = _SIDE / len(heat.names)
    width = _LEFT + len(heat.maps) * (_SIDE + _GAP) + _BAR
    view = {"viewBox": f"0 0 {width} {_TOP + _SIDE + 12}", "role": "img", "aria-label": heat.label, "class": "chart"}
    svg = Element("svg", view)
    for i, name in enumerate(shortened_apart(heat.names, 20)):
        _text(svg, _LEFT - 6, _TOP + (i + 0.5) * cell + 4, name, "end")
    for at, (title, cells) in enumerate(heat.maps):
        left = _LEFT + at * (_SIDE + _GAP)
        _text(svg, left, 14, title, "start")
        _text(svg, left, 28, f"rows: {heat.down}; columns: {heat.across}", "start")
        for i, name in enumerate(shortened_apart(heat.names, 14)):
            _text(svg, left + (i + 0.5) * cell + 4, _TOP - 6, name, "start", turn=-60)
        for found in cells:
            _svg_cell(svg, found, left, cell)
    _colour_bar(svg, width - _BAR + 8, heat)
    return tostring(svg, encoding="unicode")


def colours(share: float) -> tuple[str, str]:
    """Return the colour of a cell, and that of text upon it."""
    r, g, b, _ = matplotlib.colormaps[_COLOURS](share)
    light = 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.45
    return to_hex((r, g, b)), "#000000" if light else "#ffffff"


def _draw_map(axis: Axes, heat: HeatMaps, at: int, *, rows: bool, columns: bool) -> None:
    names, (title, cells) = shortened_apart(heat.names, 20), heat.maps[at]
    shares = np.full((len(names), len(names)), np.nan)
    size = 5.5 if axis.figure.get_figwidth() < NARROW else 7  # pyright: ignore[reportAttributeAccessIssue]
    for cell in cells:
        if cell.share is not None:
            shares[cell.row, cell.column] = cell.share
            axis.text(cell.column, cell.row, cell.text, ha="center", va="center", color=colours(cell.share)[1], fontsize=size)
    axis.imshow(shares, cmap=_COLOURS, vmin=0, vmax=1)
    axis.set_title(title, fontsize=8)
    nothing = [""] * len(names)
    axis.set_xticks(range(len(names)), names if columns else nothing, rotation=60, ha="right", rotation_mode="anchor", parse_math=False)
    axis.set_yticks(range(len(names)), names if rows else nothing, parse_math=False)
    axis.grid(visible=False)


def _svg_cell(svg: Element, cell: Cell, left: float, side: float) -> None:
    x, y = left + cell.column * side, _TOP + cell.row * side
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{side - 1:.1f}", "height": f"{side - 1:.1f}"}
    if cell.share is None:
        SubElement(svg, "rect", {**place, "class": "mean"})
        return
    fill, ink = colours(cell.share)
    SubElement(SubElement(svg, "rect", {**place, "style": f"fill:{fill}"}), "title").text = cell.title
    if cell.text:
        _text(svg, x + side / 2 - 0.5, y + side / 2 + 3.5, cell.text, "middle", style=f"fill:{ink};pointer-events:none")


def _colour_bar(svg: Element, x: float, heat: HeatMaps) -> None:
    height = _SIDE / _STEPS
    for i in range(_STEPS):
        y = _TOP + _SIDE - (i + 1) * height
        fill, _ = colours((i + 0.5) / _STEPS)
        SubElement(svg, "rect", {"x": str(x), "y": f"{y:.2f}", "width": "12", "height": f"{height + 0.3:.2f}", "style": f"fill:{fill}"})
    for share, text in heat.ticks:
        _text(svg, x + 18, _TOP + 4 + _SIDE * (1 - share), text, "start")


def _text(svg: Element, x: float, y: float, words: str, anchor: str, *, turn: int = 0, style: str = "") -> None:
    more = {"transform": f"rotate({turn} {x:.1f} {y:.1f})"} if turn else {}
    if style:
        more["style"] = style
    SubElement(svg, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, **more}).text = words
