"""Eigenvalues with their intervals, on a log axis."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eigexp.report.style import BOTTOM, MUTED, TOP, house_style, new_figure
from eigexp.report.view import View
from eigexp.report.words import UNITS, ZERO, is_null, rank_label

MOST_TICKS = 9


def spectrum_figure(
    result: Any,
    record: Mapping[str, Any] | None = None,
    curves: Sequence[Mapping[str, Any]] | None = None,
    size: tuple[float, float] = (4.6, 3.2),
) -> Figure:
    """The eigenvalues of a result against their ranks, with intervals; see `draw_spectrum`.

    Args:
        result: a stored Result, or arrays by the names of pairs.safetensors.
        record: of the result, where arrays are given.
        curves: not used; the same arguments as every figure.
        size: inches.
    """
    view = View.of(result, record, curves)
    with house_style():
        figure = new_figure(*size)
        draw_spectrum(figure.add_subplot(), view)
    return figure


def draw_spectrum(axes: Axes, view: View) -> None:
    """Draw the eigenvalues that were found, side by side in order of rank: largest left.

    A bar is the interval that holds the eigenvalue. One whose interval reaches zero has an arrow down; a null eigenvalue, which a log
    axis cannot show, is drawn at its upper bound.
    """
    axes.set_yscale("log")
    axes.set_title("eigenvalues, with intervals")
    axes.set_ylabel(f"\u03bb  ({UNITS})")
    axes.set_xlabel("rank (0 = largest)")
    axes.grid(visible=False, axis="x")
    if not view.largest > 0:
        _say(axes, "all eigenvalues are zero")
        return
    floor = ZERO * view.largest
    x = _places(view)
    for place, value, (low, high), rank in zip(x, view.eigenvalues, view.intervals, view.ranks, strict=True):
        colour = TOP if rank < view.n / 2 else BOTTOM
        _draw_one(axes, place, float(value), float(low), float(high), floor, colour, null=is_null(value, view.largest))
    _ticks(axes, x, view)
    lowest, highest = axes.get_ylim()
    axes.set_ylim(lowest / 2, highest * 2)


def _draw_one(axes: Axes, place: float, value: float, low: float, high: float, floor: float, colour: str, *, null: bool) -> None:
    high = high if np.isfinite(high) else value
    if null:
        shown = max(high, floor)
        axes.plot(place, shown, marker="_", color=colour, markersize=12, markeredgewidth=1.5)
        axes.annotate("", (place, shown / 8), (place, shown), arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.3})
        axes.plot(place, shown / 8, alpha=0)  # makes room for the arrow
        return
    axes.plot(place, value, "o", color=colour)
    if low > floor:
        axes.vlines(place, low, high, color=colour, linewidth=3, alpha=0.35)
        return
    axes.vlines(place, value, max(high, value), color=colour, linewidth=3, alpha=0.35)
    axes.annotate("", (place, value / 8), (place, value), arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.3})
    axes.plot(place, value / 8, alpha=0)


def _places(view: View) -> list[float]:
    """Side by side, with a gap where ranks are left out."""
    places: list[float] = []
    for i, rank in enumerate(view.ranks):
        gap = 1.0 if i == 0 or rank == view.ranks[i - 1] + 1 else 2.0
        places.append(places[-1] + gap if places else 0.0)
    return places


def _ticks(axes: Axes, places: list[float], view: View) -> None:
    stride = -(-len(places) // MOST_TICKS)
    ends = {0, len(places) - 1}
    kept = [i for i in range(len(places)) if i in ends or (i % stride == 0 and len(places) - 1 - i >= stride)]
    axes.set_xticks([places[i] for i in kept], [rank_label(int(view.ranks[i]), view.n) for i in kept])
    axes.set_xlim(min(places) - 0.8, max(places) + 0.8)


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MUTED)
