"""Charts as inline SVG that takes its colours from the page, so that they suit light, dark and paper."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
from numpy.typing import NDArray

from eigexp.report.compare import Points, Separation, dodge, image_names, mean
from eigexp.report.curves import Quantity, curve_series
from eigexp.report.view import View
from eigexp.report.words import ZERO, is_null, number, rank_label, shortened

WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 34
MOST_LABELS = 6
MARKS = (  # about their middle: disc, square, triangle, diamond, triangle down, bar, plus
    "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "m-3.7 -3.7h7.4v7.4h-7.4z",
    "m0 -4.6l4.5 8h-9z",
    "m0 -5.2l4.4 5.2l-4.4 5.2l-4.4 -5.2z",
    "m0 4.6l4.5 -8h-9z",
    "m-1.8 -5h3.6v10h-3.6z",
    "m-1.5 -4.8h3v3.3h3.3v3h-3.3v3.3h-3v-3.3h-3.3v-3h3.3z",
)


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic axis onto pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        low, high, at = (math.log10(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return round(self.start + (at - low) / ((high - low) or 1) * (self.end - self.start), 1)


def spectrum_svg(view: View) -> str:
    """Eigenvalues with intervals against rank, log axis; an arrow down where an interval reaches zero."""
    svg = _canvas("eigenvalues and their intervals, log axis")
    if not view.largest > 0:
        return _empty(svg, "all eigenvalues are zero")
    floor = ZERO * view.largest
    shown = [
        max(float(v if not is_null(v, view.largest) else high), floor)
        for v, (_, high) in zip(view.eigenvalues, view.intervals, strict=True)
    ]
    y = _log_axis(svg, min(shown) / 10, max(shown))
    count = len(shown)
    x = Scale(-0.6, max(count - 0.4, 0.6), LEFT, WIDTH - RIGHT)
    for i, (value, (low, high), rank) in enumerate(zip(shown, view.intervals, view.ranks, strict=True)):
        group = SubElement(svg, "g", {"class": _end(int(rank), view.n)})
        SubElement(
            group, "title"
        ).text = f"rank {int(rank):,}: {number(float(view.eigenvalues[i]), 6)} in [{number(float(low), 4)}, {number(float(high), 4)}]"
        _interval(group, x(i), y, value, float(low), float(high), floor)
        if not is_null(float(view.eigenvalues[i]), view.largest):
            SubElement(group, "circle", {"cx": str(x(i)), "cy": str(y(value)), "r": "4"})
    _rank_labels(svg, x, view)
    _caption(svg, "rank (0 = largest)")
    return _text(svg)


def curves_svg(view: View, quantity: Quantity) -> str:
    """Residuals over the largest eigenvalue, or eigenvalues, against Fisher-vector products, log axis."""
    svg = _canvas(f"{quantity} against Fisher-vector products, log axis")
    series = curve_series(view.curves, quantity, view.largest if quantity == "residual" else 1.0)
    if not series:
        return _empty(svg, "no curves kept")
    values = [v for _, ys in series.values() for v in ys]
    tolerance = ((view.record.get("tolerances") or {}).get("asked") or {}).get("tol") if quantity == "residual" else None
    y = _log_axis(svg, min([*values, tolerance or values[0]]), max(values))
    x = Scale(0, max(xs[-1] for xs, _ in series.values()), LEFT, WIDTH - RIGHT)
    _products_axis(svg, x)
    if tolerance:
        SubElement(
            svg, "line", {"class": "asked", "x1": str(LEFT), "x2": str(WIDTH - RIGHT), "y1": str(y(tolerance)), "y2": str(y(tolerance))}
        )
    for rank, (xs, ys) in series.items():
        depth = min(rank, view.n - 1 - rank)
        points = " ".join(f"{x(a)},{y(b)}" for a, b in zip(xs, ys, strict=True))
        line = SubElement(svg, "polyline", {"class": f"{_end(rank, view.n)}{' inner' if depth else ''}", "points": points})
        SubElement(line, "title").text = f"rank {rank:,}"
    _caption(svg, "Fisher-vector products")
    return _text(svg)


def comparison_svg(points: Points) -> str:
    """D of every model (rows) and image (marks), the bar their mean; a line is the interval, an arrow says "at least"."""
    row, left, right, width = 32, 190, 560, 720
    names = image_names(points)
    few = 1 < len(names) <= len(MARKS)
    right = right if few else width - 30
    height = 40 + max(row * max(len(points), 1), 18 * len(names) if few else 0)
    svg = _canvas("D of models and images", width, height)
    if not points:
        return _empty(svg, "no result with both ends")
    x = Scale(0, max(v.value for values in points.values() for v in values.values()) * 1.05, left, right)
    for tick in _nice_ticks(x.high, 8):
        _tick(svg, x(tick), number(tick), height - 20)
    for i, (name, values) in enumerate(points.items()):
        middle = 14 + row * i + row / 2
        SubElement(svg, "text", {"x": str(left - 8), "y": str(middle + 4), "text-anchor": "end"}).text = shortened(name, 28)
        bar = {"class": "mean", "x": str(left), "y": str(middle - 13), "width": str(round(x(mean(values)) - left, 1)), "height": "26"}
        SubElement(svg, "rect", bar)
        for image, found in values.items():
            at = names.index(image) if few else 0
            _separation(svg, x, middle + dodge(at, len(names), 20.0) if few else middle, found, at, f"{name}, {image}")
    for at, name in enumerate(names if few else ()):
        SubElement(svg, "path", {"class": f"mark m{at}", "d": _mark(right + 22, 24 + 18 * at, at)})
        SubElement(svg, "text", {"x": str(right + 32), "y": str(28 + 18 * at)}).text = shortened(name, 18)
    return _text(svg)


def _separation(svg: Element, x: Scale, y: float, found: Separation, at: int, label: str) -> None:
    group = SubElement(svg, "g", {"class": f"mark m{at}"})
    place = x(found.value)
    if found.is_bound:
        SubElement(group, "path", {"class": "arrow", "d": f"M{place} {y}h17m-4 -4l4 4l-4 4"})
    else:
        SubElement(group, "path", {"class": "arrow", "d": f"M{x(found.low)} {y}H{x(found.high)}"})
    mark = SubElement(group, "path", {"d": _mark(place, y, at)})
    SubElement(mark, "title").text = f"{label}: D {'at least' if found.is_bound else '='} {number(found.value, 4)}"


def _mark(x: float, y: float, at: int) -> str:
    """The outline of a mark; images differ by shape as well as by colour."""
    return f"M{x} {y}{MARKS[at]}"


def signal_svg(signal: NDArray, label: str, kind: str = "image") -> str:
    """An input that is no picture, as a line over its entries."""
    svg = _canvas(label)
    values = signal.reshape(-1).astype(float)
    low, high = float(values.min()), float(values.max())
    x, y = Scale(0, max(len(values) - 1, 1), LEFT, WIDTH - RIGHT), Scale(low, high, HEIGHT - BOTTOM, TOP)
    for value in (low, high):
        SubElement(svg, "text", {"x": str(LEFT - 6), "y": str(y(value) + 4), "text-anchor": "end"}).text = number(value)
    keep = np.unique(np.linspace(0, len(values) - 1, min(len(values), 1000)).astype(int))
    SubElement(svg, "polyline", {"class": kind, "points": " ".join(f"{x(float(i))},{y(float(values[i]))}" for i in keep)})
    _caption(svg, label)
    return _text(svg)


def _canvas(label: str, width: int = WIDTH, height: int = HEIGHT) -> Element:
    return Element("svg", {"viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": label, "class": "chart"})


def _text(svg: Element) -> str:
    return tostring(svg, encoding="unicode")


def _empty(svg: Element, words: str) -> str:
    SubElement(svg, "text", {"x": "50%", "y": "50%", "text-anchor": "middle"}).text = words
    return _text(svg)


def _end(rank: int, n: int) -> str:
    return "top" if rank < n / 2 else "bottom"


def _interval(group: Element, x: float, y: Scale, value: float, low: float, high: float, floor: float) -> None:
    upper = y(max(high, value)) if math.isfinite(high) else y(value)
    if low > floor:
        SubElement(group, "line", {"class": "interval", "x1": str(x), "x2": str(x), "y1": str(y(max(low, y.low))), "y2": str(upper)})
        return
    foot = y(value) + 22
    SubElement(group, "path", {"class": "limit", "d": f"M{x - 6} {upper}h12M{x} {upper}V{foot}m-4 -6l4 6l4 -6"})


def _log_axis(svg: Element, low: float, high: float) -> Scale:
    first, last = math.floor(math.log10(low) - 0.1), math.ceil(math.log10(high) + 0.05)
    scale = Scale(10.0**first, 10.0**last, HEIGHT - BOTTOM, TOP, log=True)
    stride = -(-(last - first) // MOST_LABELS)
    for power in range(first, last + 1, stride):
        y = scale(10.0**power)
        SubElement(svg, "line", {"class": "grid", "x1": str(LEFT), "x2": str(WIDTH - RIGHT), "y1": str(y), "y2": str(y)})
        label = SubElement(svg, "text", {"x": str(LEFT - 6), "y": str(y + 4), "text-anchor": "end"})
        label.text = "10"
        SubElement(label, "tspan", {"dy": "-5", "font-size": "8"}).text = str(power).replace("-", "\u2212")
    return scale


def _products_axis(svg: Element, x: Scale) -> None:
    for tick in _nice_ticks(x.high, 5):
        _tick(svg, x(tick), f"{tick:,.0f}", HEIGHT - BOTTOM)


def _tick(svg: Element, x: float, label: str, y: float) -> None:
    SubElement(svg, "line", {"class": "grid", "x1": str(x), "x2": str(x), "y1": str(TOP), "y2": str(y)})
    SubElement(svg, "text", {"x": str(x), "y": str(y + 14), "text-anchor": "middle"}).text = label


def _rank_labels(svg: Element, x: Scale, view: View) -> None:
    stride = -(-len(view.ranks) // MOST_LABELS)
    last = len(view.ranks) - 1
    for i, rank in enumerate(view.ranks):
        if i == last or (i % stride == 0 and last - i >= stride):
            label = SubElement(svg, "text", {"x": str(x(i)), "y": str(HEIGHT - BOTTOM + 14), "text-anchor": "middle"})
            label.text = rank_label(int(rank), view.n)


def _caption(svg: Element, words: str) -> None:
    SubElement(
        svg, "text", {"class": "caption", "x": str((LEFT + WIDTH - RIGHT) / 2), "y": str(HEIGHT - 4), "text-anchor": "middle"}
    ).text = words


def _nice_ticks(high: float, most: int) -> Sequence[float]:
    if not high > 0:
        return (0.0,)
    rough = high / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [step * i for i in range(int(high / step) + 1)]
