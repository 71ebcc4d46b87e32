"""The figure of a result: the image, its most and least noticeable distortions alone and added, error bounds and evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eigexp.report.axes import draw_chart
from eigexp.report.curves import convergence
from eigexp.report.panel import Channel, Panel, draw_panel
from eigexp.report.pixels import Process, about_grey, add, as_picture, check_scale, default_scale
from eigexp.report.spectrum import spectrum
from eigexp.report.style import MUTED, house_style, new_figure
from eigexp.report.view import View
from eigexp.report.words import UNITS, clipping_words, d_words, evidence_words, shortened
from eigexp.store.labels import distortion_name, duration, end_of, layer_label, number

PANEL = 2.75  # inches of a column of pictures
CURVES_WIDTH = 3.4
_HEAD = 0.45  # inches for the heading
# Inches of a cell that titles, notes and ticks take: left, right, above and below what is drawn.
_PICTURE, _SIGNAL, _CURVES = (0.06, 0.2, 0.27, 0.36), (0.5, 0.15, 0.27, 0.6), (0.85, 0.12, 0.27, 0.55)
FACT_INDENT = 58  # points
FACT_LINE = 14


def distortion_figure(
    result: Any,
    record: Mapping[str, Any] | None = None,
    curves: Sequence[Mapping[str, Any]] | None = None,
    scale: float | None = None,
    eigenindex: Sequence[int] | None = None,
    channel: Channel = None,
    process_image: Process | None = None,
) -> Figure:
    """Return the figure of one result, for `figure_png` or a notebook. It is a plain matplotlib Figure; pyplot is not involved.

    Args:
        result: a stored Result, or arrays (numpy or tensors) by the names of pairs.safetensors.
        record: of the result, where arrays are given; whatever keys there are, are used.
        curves: rows of curves.csv, where arrays are given.
        scale: the norm that every distortion is shown with, in pixel units; chosen so that they are visible by default.
        eigenindex: of the distortions to show, negative from the end; both ends by default.
        channel: of an image whose channels are not colours, the one to show, or three as red, green and blue.
        process_image: maps an image to display values in [0, 1], for example to undo a normalisation; it gets arrays of the image's shape.

    Raises:
        ConfigurationError: if an eigenindex or channel does not exist, or the scale is not positive.
    """
    check_scale(scale)
    view = View.of(result, record, curves)
    positions = view.positions(eigenindex)
    scale = scale or default_scale(view.distortions[positions])
    with house_style():
        return _compose(view, positions, scale, channel, process_image)


def _compose(view: View, positions: list[int], scale: float, channel: Channel, process: Process | None) -> Figure:
    rows = max(2, len(positions))
    height = PANEL * _aspect(view.image)
    figure = new_figure(3 * PANEL + CURVES_WIDTH, rows * (max(height, 1.9) + 0.55) + 0.75)
    figure.set_layout_engine("none")  # a layout that measures its texts takes as long as the drawing
    figure.suptitle(_heading(view.record), x=0.012, ha="left", parse_math=False)
    cells = _Cells(figure, rows, _SIGNAL if as_picture(view.image) is None else _PICTURE)
    image = process(view.image) if process else view.image
    draw_panel(cells.panel(0, 0), Panel(image, "image", _shape_words(view.image, channel), channel=channel))
    for row, position in enumerate(positions):
        _show_alone(cells.panel(row, 1), view, position, scale, channel)
        _show_added(cells.panel(row, 2), view, position, scale, channel, process)
    _facts(cells.panel(1, 0), view, scale, shown_words(view, positions))
    draw_chart(cells.curves(0), spectrum(view))
    draw_chart(cells.curves(1), convergence(view))
    return figure


@dataclass(frozen=True)
class _Cells:
    """Where axes lie: three columns of panels and one of curves, in rows of equal height below the heading."""

    figure: Figure
    rows: int
    margins: tuple[float, float, float, float]

    def panel(self, row: int, column: int) -> Axes:
        return self._axes(row, column * PANEL, PANEL, self.margins)

    def curves(self, row: int) -> Axes:
        return self._axes(row, 3 * PANEL, CURVES_WIDTH, _CURVES)

    def _axes(self, row: int, x: float, width: float, margins: tuple[float, float, float, float]) -> Axes:
        left, right, above, below = margins
        across, down = self.figure.get_size_inches()
        height = (down - _HEAD) / self.rows
        bottom = down - _HEAD - (row + 1) * height
        size = (width - left - right) / across, (height - above - below) / down
        return self.figure.add_axes(((x + left) / across, (bottom + below) / down, *size))


def _show_alone(axes: Axes, view: View, position: int, scale: float, channel: Channel) -> None:
    shown, peak = about_grey(view.distortions[position])
    title = f"{distortion_name(int(view.eigenindex[position]), view.n)}:  {view.eigenvalue_text(position, symbol='λ')}"
    note = f"alone, grey = 0, black and white = \u00b1{number(peak * scale, 2)}"
    if as_picture(shown, channel) is None:
        shown = scale * view.distortions[position]
        note = f"alone, peak {number(peak * scale, 2)}"
    draw_panel(axes, Panel(shown, title, note, role_of(view, position), channel))


def _show_added(axes: Axes, view: View, position: int, scale: float, channel: Channel, process: Process | None) -> None:
    result = add(view.image, view.distortions[position], scale, process)
    title, under = f"image + {number(scale)} \u00d7 distortion", process(view.image) if process else view.image
    draw_panel(axes, Panel(result.values, title, clipping_words(result.clipped, "values"), role_of(view, position), channel, under))


def shown_words(view: View, positions: list[int]) -> str:
    """Return how many of a result's distortions are shown; nothing if all are shown."""
    return "" if len(positions) == len(view.eigenindex) else f"{len(positions)} of {len(view.eigenindex)} distortions"


def _facts(axes: Axes, view: View, scale: float, shown: str) -> None:
    """Write the facts of the result as aligned lines of text."""
    axes.set_axis_off()
    for i, (name, value) in enumerate([*_fact_lines(view, scale), *([("shown", shown)] if shown else [])]):
        for x, text, colour in ((0, name, MUTED), (FACT_INDENT, value, "black")):
            axes.annotate(text, (0, 1), (x, -4 - i * FACT_LINE), xycoords="axes fraction", textcoords="offset points", va="top", fontsize=8,
                          color=colour, parse_math=False, annotation_clip=False)  # fmt: skip


def _fact_lines(view: View, scale: float) -> list[tuple[str, str]]:
    record = view.record
    products, seconds = record.get("fisher_vector_products"), record.get("seconds")
    verified = "" if "verified" not in record else "verified" if record["verified"] else "not verified"
    zero = (record.get("null_space") or {}).get("dimension_at_least") or 0
    lines = [
        ("status", ", ".join(word for word in (record.get("status", ""), verified) if word)),
        ("largest", evidence_words(record, "top") if record else ""),
        ("smallest", evidence_words(record, "bottom") if record else ""),
        ("D", d_words(view.d, view.d_bounds) if view.d_bounds else ""),
        ("null space", f"at least {zero:,} of {view.n:,}" if zero else ""),
        ("n, m", f"{view.n:,} pixels, {record['m']:,} responses" if record.get("m") else f"{view.n:,} pixels"),
        ("method", str(record.get("method", ""))),
        ("cost", f"{products:,.0f} products, {duration(seconds)}" if products is not None else ""),
        ("scale", f"{number(scale)} = norm; rms {number(scale / np.sqrt(view.image.size), 2)}"),
        ("units", f"\u03bb in {UNITS}"),
    ]
    return [(name, value) for name, value in lines if value]


def _heading(record: Mapping[str, Any]) -> str:
    image = (record.get("image") or {}).get("name", "")
    parts = [str(record.get("model", "")), layer_label(record["layer"]) if record.get("layer") else "", str(image)]
    return "  \u00b7  ".join(shortened(part) for part in parts if part) or "eigendistortions"


def _shape_words(image: NDArray[Any], channel: Channel) -> str:
    shape = " \u00d7 ".join(str(side) for side in image.shape)
    channels = int(np.prod(image.shape[:-2]))
    chosen = 0 if channel is None and channels not in (1, 3) else channel
    return shape if chosen is None or as_picture(image) is None else f"{shape}, channel {chosen}"


def _aspect(image: NDArray[Any]) -> float:
    if as_picture(image) is None:
        return 0.75
    return float(np.clip(image.shape[-2] / image.shape[-1], 0.4, 2.0))


def role_of(view: View, position: int) -> str:
    """Return the end that a pair belongs to, which chooses its colour."""
    return end_of(int(view.eigenindex[position]), view.n)
