"""A chart as plain data: what is marked, where, and with which bound.

Ticks, ranges, arrows and texts are determined once, here and in the modules that build charts. Painters only draw what they are given:
`svg` for the page, `axes` for figures.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from eigexp.store.labels import number

Limit = Literal["", "at most", "at least"]
_MOST_POWERS = 8


@dataclass(frozen=True)
class Axis:
    """A range with its ticks.

    Attributes:
        label: what is measured, with its unit.
        low: the value at the left or lower end; larger than `high` where rows are read from the top.
        high: the value at the other end.
        ticks: values and their labels.
        log: whether the axis is logarithmic.
        names: whether the ticks are names, which need room.
    """

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...] = ()
    log: bool = False
    names: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies: 0 at `low`, 1 at `high`."""
        low, high, at = (math.log10(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return (at - low) / ((high - low) or 1)


@dataclass(frozen=True)
class Mark:
    """One quantity.

    Attributes:
        x: place on the horizontal axis.
        y: place on the vertical axis.
        role: what it belongs to, which chooses its colour: "top" or "bottom" of the spectrum, "m0" to "m6" for images, "other".
        title: what a pointer over it shows.
        shape: of the mark, 0 to 6, so that images differ by more than colour.
        limit: "at most" (an arrow towards smaller values) or "at least" (towards larger ones) where only a bound is known, which is where
            the mark lies.
        hollow: whether it is not verified.
        id: of the result, for pages that filter.
        span: lower and upper bound along the axis of values; None where there is no interval to draw.
    """

    x: float
    y: float
    role: str
    title: str = ""
    shape: int = 0
    limit: Limit = ""
    span: tuple[float, float] | None = None
    hollow: bool = False
    id: str = ""


@dataclass(frozen=True)
class Line:
    """A curve: `minor` ones are thin, `dashed` ones bounds. `label` is for the legend, `title` for a pointer."""

    points: tuple[tuple[float, float], ...]
    role: str
    title: str = ""
    label: str = ""
    minor: bool = False
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """Everything that a painter needs.

    Attributes:
        title: stands above a figure.
        label: describes the chart for readers who cannot see it.
        x: the horizontal axis.
        y: the vertical axis.
        values: along which of them quantities, and so spans, lie.
        marks: of single quantities.
        lines: of curves.
        means: (y, x) of short ticks across a row.
        notes: (y, text) at the right of a row.
        dividers: heights of lines that part groups of rows.
        band: lower and upper end of a shaded range of the vertical axis.
        asked: height of a dotted line, the requested tolerance; None without.
        legend: (role, shape, label).
        legend_title: what the entries are.
        empty: text that is shown instead if there is nothing to draw.
    """

    title: str
    label: str
    x: Axis
    y: Axis
    values: Literal["x", "y"] = "y"
    marks: tuple[Mark, ...] = ()
    lines: tuple[Line, ...] = ()
    means: tuple[tuple[float, float], ...] = ()
    notes: tuple[tuple[float, str], ...] = ()
    dividers: tuple[float, ...] = ()
    band: tuple[float, float] | None = None
    asked: float | None = None
    legend: tuple[tuple[str, int, str], ...] = ()
    legend_title: str = "image"
    empty: str = ""

    def is_hollow(self, role: str, shape: int) -> bool:
        """Return whether all marks of an entry of the legend are hollow."""
        found = [mark.hollow for mark in self.marks if (mark.role, mark.shape) == (role, shape)]
        return bool(found) and all(found)


def empty_chart(title: str, label: str, x: str, y: str, words: str) -> Chart:
    """Return a chart with a text that says why it is empty."""
    return Chart(title, label, Axis(x, 0, 1), Axis(y, 0, 1), empty=words)


def log_axis(label: str, values: Iterable[float]) -> Axis:
    """Return a logarithmic axis of whole powers of ten around positive values, with a tick at each or at every few."""
    known = list(values)
    first, last = math.floor(math.log10(min(known)) - 0.1), math.ceil(math.log10(max(known)) + 0.05)
    stride = -(-(last - first) // _MOST_POWERS)
    powers = [power for power in range(first, last + 1) if power % stride == 0]
    return Axis(label, 10.0**first, 10.0**last, tuple((10.0**p, power_of_ten(p)) for p in powers), log=True)


def linear_axis(label: str, high: float, most: int, room: float = 1.0) -> Axis:
    """Return an axis from zero to `room` times `high`, with at most about `most` ticks at round numbers."""
    end = room * high if high > 0 else 1.0
    return Axis(label, 0.0, end, tuple((tick, number(tick)) for tick in _round_ticks(end, most)))


def row_axis(names: Sequence[str]) -> Axis:
    """Return an axis with one row per name, read from the top."""
    return Axis("", len(names) - 0.45, -0.55, tuple((float(at), name) for at, name in enumerate(names)))


def thinned(count: int, most: int) -> list[int]:
    """Return which of `count` places keep a label: about `most`, the first and the last among them."""
    stride = -(-count // most)
    return [i for i in range(count) if i in (0, count - 1) or (i % stride == 0 and count - 1 - i >= stride)]


def power_of_ten(power: int) -> str:
    """Return 10 to an integer, for a tick."""
    return f"10{str(power).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def _round_ticks(high: float, most: int) -> Sequence[float]:
    rough = high / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [step * i for i in range(int(high / step) + 1)]
