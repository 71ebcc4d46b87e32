"""The figure of a result as plain data: what it shows and where. Painters only draw it: `distortions` as a figure, `raster` as pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigexp.report.chart import Chart
from eigexp.report.curves import convergence
from eigexp.report.panel import Channel, Panel
from eigexp.report.pixels import Process, about_grey, add, as_picture, check_scale, default_scale
from eigexp.report.spectrum import spectrum
from eigexp.report.view import View
from eigexp.report.words import clipping_words, d_words, evidence_words, shortened, unit_words
from eigexp.store.labels import distortion_name, duration, end_of, layer_label, number

PANEL = 2.75  # inches of a column of pictures
CURVES_WIDTH = 3.4
_HEAD = 0.45  # inches for the heading
# Inches of a cell that titles, notes and ticks take: left, right, above and below what is drawn.
_PICTURE, _SIGNAL, _CURVES = (0.06, 0.2, 0.27, 0.36), (0.5, 0.15, 0.27, 0.6), (0.85, 0.12, 0.27, 0.55)
HEADING_AT = 0.012, 0.98  # shares of the figure's width and height
FACT_INDENT = 58  # points
FACT_LINE = 14
FACT_DROP = 4  # of the first line, points

Margins = tuple[float, float, float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle in inches, from the lower left corner of the figure."""

    left: float
    bottom: float
    width: float
    height: float


@dataclass(frozen=True, eq=False)
class Composition:
    """Everything that a painter of the figure of a result needs.

    Attributes:
        width: inches.
        height: inches.
        heading: above all.
        panels: pictures or signals.
        facts: name and value of each line, and where they begin.
        charts: and where.
    """

    width: float
    height: float
    heading: str
    panels: tuple[tuple[Box, Panel], ...]
    facts: tuple[Box, tuple[tuple[str, str], ...]]
    charts: tuple[tuple[Box, Chart], ...]

    @property
    def has_pictures(self) -> bool:
        """Whether all panels are pictures rather than signals."""
        return all(as_picture(panel.values, panel.channel) is not None for _, panel in self.panels)


def compose(
    view: View,
    scale: float | None = None,
    eigenindex: Sequence[int] | None = None,
    channel: Channel = None,
    process: Process | None = None,
) -> Composition:
    """Return the composition of the figure of a result; arguments as of `distortion_figure`.

    Raises:
        ConfigurationError: if an eigenindex or channel does not exist, or the scale is not positive.
    """
    check_scale(scale)
    positions = view.positions(eigenindex)
    scale = scale or default_scale(view.distortions[positions])
    image = process(view.image) if process else view.image
    grid = _Grid.of(view, len(positions))
    panels = [(grid.panel(0, 0), Panel(image, "image", _shape_words(view.image, channel), channel=channel))]
    for row, position in enumerate(positions):
        panels.append((grid.panel(row, 1), _alone(view, position, scale, channel)))
        panels.append((grid.panel(row, 2), _added(view, position, scale, channel, image, process)))
    shown = shown_words(view, positions)
    facts = (*_fact_lines(view, scale), *((("shown", shown),) if shown else ()))
    charts = (grid.chart(0), spectrum(view)), (grid.chart(1), convergence(view))
    return Composition(grid.width, grid.height, _heading(view.record), tuple(panels), (grid.panel(1, 0), facts), charts)


@dataclass(frozen=True)
class _Grid:
    """Where everything lies: three columns of panels and one of charts, in rows of equal height below the heading."""

    width: float
    height: float
    rows: int
    margins: Margins

    @classmethod
    def of(cls, view: View, pairs: int) -> "_Grid":
        rows = max(2, pairs)
        height = rows * (max(PANEL * _aspect(view.image), 1.9) + 0.55) + 0.75
        return cls(3 * PANEL + CURVES_WIDTH, height, rows, _SIGNAL if as_picture(view.image) is None else _PICTURE)

    def panel(self, row: int, column: int) -> Box:
        return self._box(row, column * PANEL, PANEL, self.margins)

    def chart(self, row: int) -> Box:
        return self._box(row, 3 * PANEL, CURVES_WIDTH, _CURVES)

    def _box(self, row: int, x: float, width: float, margins: Margins) -> Box:
        left, right, above, below = margins
        height = (self.height - _HEAD) / self.rows
        bottom = self.height - _HEAD - (row + 1) * height
        return Box(x + left, bottom + below, width - left - right, height - above - below)


def _alone(view: View, position: int, scale: float, channel: Channel) -> Panel:
    shown, peak = about_grey(view.distortions[position])
    title = f"{distortion_name(int(view.eigenindex[position]), view.n)}:  {view.eigenvalue_text(position, symbol='λ')}"
    note = f"alone, grey = 0, black and white = \u00b1{number(peak * scale, 2)}"
    if as_picture(shown, channel) is None:
        shown = scale * view.distortions[position]
        note = f"alone, peak {number(peak * scale, 2)}"
    return Panel(shown, title, note, role_of(view, position), channel)


def _added(view: View, position: int, scale: float, channel: Channel, under: NDArray[Any], process: Process | None) -> Panel:
    result = add(view.image, view.distortions[position], scale, process)
    title = f"image + {number(scale)} \u00d7 distortion"
    return Panel(result.values, title, clipping_words(result.clipped, "values"), role_of(view, position), channel, under)


def shown_words(view: View, positions: list[int]) -> str:
    """Return how many of a result's distortions are shown; nothing if all are shown."""
    return "" if len(positions) == len(view.eigenindex) else f"{len(positions)} of {len(view.eigenindex)} distortions"


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
        ("n", f"{view.n:,} pixels"),
        ("m", f"{record['m']:,} responses" if record.get("m") else ""),
        ("method", str(record.get("method", ""))),
        ("cost", f"{products:,.0f} products, {duration(seconds)}" if products is not None else ""),
        ("scale", f"{number(scale)} = norm; rms {number(scale / np.sqrt(view.image.size), 2)}"),
        ("units", unit_words(record)),
    ]
    return [(name, value) for name, value in lines if value]


def _heading(record: Mapping[str, Any]) -> str:
    image = (record.get("image") or {}).get("name", "")
    parts = [str(record.get("model", "")), layer_label(record["layer"]) if record.get("layer") else "", _against(record), str(image)]
    return "  \u00b7  ".join(shortened(part) for part in parts if part) or "eigendistortions"


def _against(record: Mapping[str, Any]) -> str:
    against = (record.get("settings") or {}).get("against")
    return f"against {against}" if against else ""


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
