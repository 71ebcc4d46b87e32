"""Charts painted with matplotlib, for figures."""

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eigexp.report.chart import Chart, Line, Mark
from eigexp.report.style import BOTTOM, MUTED, PALETTE, TOP, house_style, new_figure

MEAN = "#555555"
COLOURS = {"top": TOP, "bottom": BOTTOM, "image": "black", "other": MUTED, **{f"m{i}": colour for i, colour in enumerate(PALETTE)}}
_SLANTED: dict[str, Any] = {"rotation": 50, "ha": "right", "rotation_mode": "anchor"}
_SHAPES = "osD^vPX"
NARROW = 5  # inches
_MEAN_HALF = 0.36  # of a row
_LETTERS, _NARROW_LETTERS = 72, 34  # of a line of a title
_REACH = 15  # points of an arrow


def chart_figure(chart: Chart, size: tuple[float, float]) -> Figure:
    """Return a figure of one chart.

    Args:
        chart: what it shows.
        size: inches.
    """
    with house_style():
        figure = new_figure(*size)
        draw_chart(figure.add_subplot(), chart)
        if chart.legend:
            _legend(figure, "" if chart.notes else chart.legend_title)
    return figure


def charts_figure(charts: Sequence[Chart], size: tuple[float, float], heights: Sequence[float] = ()) -> Figure:
    """Return a figure of charts one below the other, over one horizontal axis.

    Args:
        charts: from above.
        size: inches.
        heights: relative to each other; equal by default.
    """
    with house_style():
        figure = new_figure(*size)
        axes = figure.subplots(len(charts), 1, sharex=True, height_ratios=heights or None, squeeze=False).ravel()
        for axis, chart in zip(axes, charts, strict=True):
            draw_chart(axis, chart)
        _legend(figure, "")
    return figure


def draw_chart(axes: Axes, chart: Chart) -> None:
    """Draw a chart into axes, within `house_style`."""
    narrow = axes.figure.get_figwidth() < NARROW  # pyright: ignore[reportAttributeAccessIssue]
    axes.set_title(textwrap.fill(chart.title, _NARROW_LETTERS if narrow else _LETTERS), parse_math=False)
    axes.set_xlabel(textwrap.fill(chart.x.label, _NARROW_LETTERS, replace_whitespace=False) if narrow else chart.x.label)
    axes.set_ylabel(chart.y.label)
    if chart.empty:
        axes.text(0.5, 0.5, chart.empty, transform=axes.transAxes, ha="center", va="center", color=MUTED)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    _scale(axes, chart)
    if chart.band:
        axes.axhspan(*chart.band, color="#EDEDED", zorder=0)
    for y, x in chart.means:
        axes.vlines(x, y - _MEAN_HALF, y + _MEAN_HALF, color=MEAN, linewidth=1)
    for line in chart.lines:
        _draw_line(axes, line)
    for mark in chart.marks:
        _draw_mark(axes, mark, chart.values)
    for y, text in chart.notes:
        axes.text(1.01, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=_note_size(axes))
    for y in chart.dividers:
        axes.axhline(y, color="#BBBBBB", linewidth=0.7)
    if chart.asked is not None:
        axes.axhline(chart.asked, color=MUTED, linestyle=":", linewidth=1.2, label="tolerance")
    for role, shape, label in chart.legend:
        face = "white" if chart.is_hollow(role, shape) else COLOURS[role]
        axes.scatter([], [], s=20, marker=_SHAPES[shape], facecolors=face, edgecolors=COLOURS[role], linewidths=1.1, label=label)
    if any(line.label for line in chart.lines) and not chart.legend:
        axes.legend(loc="best")


def _scale(axes: Axes, chart: Chart) -> None:
    if chart.x.log:
        axes.set_xscale("log")
    if chart.y.log:
        axes.set_yscale("log")
    axes.minorticks_off()
    axes.set_xlim(chart.x.low, chart.x.high)
    axes.set_ylim(chart.y.low, chart.y.high)
    names = [text for _, text in chart.x.ticks]
    axes.set_xticks([at for at, _ in chart.x.ticks], names, parse_math=False, **(_SLANTED if chart.x.names else {}))
    axes.set_yticks([at for at, _ in chart.y.ticks], [text for _, text in chart.y.ticks], parse_math=False)
    if chart.marks:
        axes.grid(visible=False, axis="x" if chart.values == "y" else "y")


def _draw_line(axes: Axes, line: Line) -> None:
    x, y = zip(*line.points, strict=True)
    dashes = (0, (4, 1.5)) if line.role == "bottom" or line.dashed else "-"
    axes.plot(x, y, color=COLOURS[line.role], linestyle=dashes, linewidth=1 if line.minor else 1.6, alpha=0.5 if line.minor else 1.0,
              marker="o" if len(x) == 1 else None, label=line.label or None)  # fmt: skip


def _draw_mark(axes: Axes, mark: Mark, values: str) -> None:
    colour = COLOURS[mark.role]
    if mark.span:
        draw = axes.vlines if values == "y" else axes.hlines
        width, alpha = (3, 0.35) if values == "y" else (1.2, 1)  # rows lie close to each other
        draw(mark.x if values == "y" else mark.y, *mark.span, color=colour, linewidth=width, alpha=alpha)
    if mark.limit == "at most":
        axes.plot(mark.x, mark.y, marker="_", color=colour, markersize=12, markeredgewidth=1.5)
    else:
        face = "white" if mark.hollow else colour
        axes.scatter(mark.x, mark.y, s=20, marker=_SHAPES[mark.shape], facecolors=face, edgecolors=colour, linewidths=1.1, zorder=3)
    if mark.limit:
        reach = -22 if mark.limit == "at most" else _REACH
        arrow = {"arrowstyle": "<-", "color": colour, "lw": 1.2, "shrinkA": 0, "shrinkB": 0 if mark.limit == "at most" else 3}
        axes.annotate("", (mark.x, mark.y), (reach, 0) if values == "x" else (0, reach), textcoords="offset points", arrowprops=arrow)


def _note_size(axes: Axes) -> int:
    return 6 if axes.figure.get_figwidth() < NARROW else 8  # pyright: ignore[reportAttributeAccessIssue]


def _legend(figure: Figure, title: str) -> None:
    """Set the legend at the right of the axes under a title, or without one below them, in as many columns as fit."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if not handles:
        return
    below = not title or figure.get_figwidth() < NARROW
    fitting = int(figure.get_figwidth() * 72 / (4.8 * max(len(label) for label in labels) + 34))
    loc, columns = ("outside lower center", max(1, min(len(labels), fitting))) if below else ("outside right upper", 1)
    legend = figure.legend(handles, labels, loc=loc, ncols=columns, title=title or None)
    for text in legend.get_texts():
        text.set_parse_math(False)
