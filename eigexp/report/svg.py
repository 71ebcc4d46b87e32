"""Charts painted as inline SVG that takes its colours from the page, so that they suit light, dark and paper."""

import textwrap
from xml.etree.ElementTree import Element, SubElement, tostring

from eigexp.report.chart import Axis, Chart, Line, Mark

_SHAPES = (  # about their middle: disc, square, diamond, triangle, triangle down, plus, bar
    "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "m-3.7 -3.7h7.4v7.4h-7.4z",
    "m0 -5.2l4.4 5.2l-4.4 5.2l-4.4 -5.2z",
    "m0 -4.6l4.5 8h-9z",
    "m0 4.6l4.5 -8h-9z",
    "m-1.5 -4.8h3v3.3h3.3v3h-3.3v3.3h-3v-3.3h-3.3v-3h3.3z",
    "m-1.8 -5h3.6v10h-3.6z",
)
_ROW, _PHONE_ROW, _LINE = 32, 46, 14
_PHONE_LETTERS = 48  # of a line
_LETTER = 6.9  # pixels of a letter, on average


class _Canvas:
    """An SVG element with the two axes of a chart as pixels."""

    def __init__(self, chart: Chart, *, phone: bool = False):
        self.rows, self.phone = chart.values == "x", phone
        self.lines = max(len(textwrap.wrap(name, _PHONE_LETTERS)) for name in _phone_names(chart)) if phone else 1
        self.row = _PHONE_ROW + (self.lines - 1) * _LINE if phone else _ROW
        self.width, self.left, self.right = _sides(chart, phone) if self.rows else (340, 52, 10)
        room = self.row * len(chart.y.ticks) if self.rows else 166
        self.top, self.bottom = (14, 22) if self.rows else (10, 34)
        self.height = room + self.top + self.bottom
        view = {"viewBox": f"0 0 {self.width} {self.height}", "role": "img", "aria-label": chart.label, "class": "chart"}
        self.svg = Element("svg", view | ({"data-row": str(self.row)} if self.rows else {}))
        self.at = self.svg  # where things are added: a row's group, for charts of rows
        self._axes = chart.x, chart.y
        self._floor = self.top + room

    def x(self, value: float) -> float:
        return round(self.left + self._axes[0].share(value) * (self.width - self.right - self.left), 1)

    def y(self, value: float) -> float:
        below = self.lines * _LINE / 2 if self.phone else 0  # the row's name stands above its marks
        return round(self._floor - self._axes[1].share(value) * (self._floor - self.top) + below, 1)

    def write(self, x: float, y: float, words: str, anchor: str = "middle", **more: str) -> None:
        SubElement(self.at, "text", {"x": str(x), "y": str(round(y, 1)), "text-anchor": anchor, **more}).text = words

    def line(self, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
        SubElement(self.at, "line", {"class": kind, "x1": str(x1), "x2": str(x2), "y1": str(y1), "y2": str(y2)})


def _phone_name(name: str, note: str) -> str:
    return f"{name}:  {note}".replace("\n", " ") if note else name.replace("\n", " ")


def _phone_names(chart: Chart) -> list[str]:
    notes = dict(chart.notes)
    return [_phone_name(name, notes.get(at, "")) for at, name in chart.y.ticks] or [""]


def _sides(chart: Chart, phone: bool) -> tuple[int, int, int]:
    """Return the width of a chart of rows, and the room at the left for names and at the right for notes."""
    names, notes = (max((len(text) for _, text in found), default=0) for found in (chart.y.ticks, chart.notes))
    right = 14 + round(_LETTER * notes)
    return (350, 10, 14) if phone else (980, 22 + round(_LETTER * names), right)


def chart_svg(chart: Chart, *, phone: bool = False) -> str:
    """Return a chart as SVG text; for a `phone` a chart of rows has the rows' names above their marks."""
    canvas = _Canvas(chart, phone=phone)
    if chart.empty:
        canvas.write(canvas.width / 2, canvas.height / 2, chart.empty)
        return tostring(canvas.svg, encoding="unicode")
    if canvas.rows:
        _rows(canvas, chart)
        return tostring(canvas.svg, encoding="unicode")
    _x_axis(canvas, chart.x, grid=not chart.marks)
    _y_axis(canvas, chart.y, grid=True)
    if chart.asked is not None:
        canvas.line("asked", canvas.left, canvas.y(chart.asked), canvas.width - canvas.right, canvas.y(chart.asked))
    for line in chart.lines:
        _line(canvas, line)
    for mark in chart.marks:
        _mark(canvas, mark, chart.values)
    return tostring(canvas.svg, encoding="unicode")


def key_svg(role: str, shape: int, *, hollow: bool) -> str:
    """Return the mark of a legend as SVG text."""
    svg = Element("svg", {"viewBox": "-6 -6 12 12", "class": "chart key", "aria-hidden": "true"})
    SubElement(
        SubElement(svg, "g", {"class": f"mark {role}{' hollow' * hollow}"}), "path", {"class": "shape", "d": f"M0 0{_SHAPES[shape]}"}
    )
    return tostring(svg, encoding="unicode")


def _rows(canvas: _Canvas, chart: Chart) -> None:
    """Draw a chart of rows, each in a group of its own, so that a page can leave rows out and close the gap."""
    marks: dict[int, list[Mark]] = {}
    for mark in chart.marks:
        marks.setdefault(round(mark.y), []).append(mark)
    means, notes = dict(chart.means), dict(chart.notes)
    for value, _ in chart.x.ticks:
        canvas.line("grid", canvas.x(value), canvas.top, canvas.x(value), canvas.height - canvas.bottom)
    for place, name in chart.y.ticks:
        canvas.at = SubElement(canvas.svg, "g", {"class": "row"})
        y = canvas.y(place)
        if canvas.phone:
            words = textwrap.wrap(_phone_name(name, notes.get(place, "")), _PHONE_LETTERS)
            for at, text in enumerate(words):
                canvas.write(canvas.left, y - 19 - _LINE * (len(words) - 1 - at), text, "start")
        else:
            canvas.write(canvas.left - 10, y + 4, name.replace("\n", " "), "end", **{"class": "name"})
            canvas.write(canvas.width - canvas.right + 8, y + 4, notes.get(place, ""), "start", **{"class": "note"})
        if place in means:
            canvas.line("mean", canvas.x(means[place]), y - 11, canvas.x(means[place]), y + 11)
        for mark in marks.get(round(place), ()):
            _mark(canvas, mark, chart.values)
    canvas.at = SubElement(canvas.svg, "g", {"class": "axis"})
    _x_axis(canvas, chart.x, grid=False)


def _x_axis(canvas: _Canvas, axis: Axis, *, grid: bool) -> None:
    foot = canvas.height - canvas.bottom
    for value, text in axis.ticks:
        if grid:
            canvas.line("grid", canvas.x(value), canvas.top, canvas.x(value), foot)
        canvas.write(canvas.x(value), foot + 14, text)
    if canvas.bottom > 30:
        canvas.write((canvas.left + canvas.width - canvas.right) / 2, canvas.height - 4, axis.label, **{"class": "caption"})


def _y_axis(canvas: _Canvas, axis: Axis, *, grid: bool) -> None:
    for value, text in axis.ticks:
        if grid:
            canvas.line("grid", canvas.left, canvas.y(value), canvas.width - canvas.right, canvas.y(value))
        canvas.write(canvas.left - (6 if grid else 8), canvas.y(value) + 4, text, "end")


def _line(canvas: _Canvas, line: Line) -> None:
    points = " ".join(f"{canvas.x(x)},{canvas.y(y)}" for x, y in line.points)
    curve = SubElement(canvas.svg, "polyline", {"class": f"{line.role}{' inner' if line.minor else ''}", "points": points})
    if line.title:
        SubElement(curve, "title").text = line.title


def _mark(canvas: _Canvas, mark: Mark, values: str) -> None:
    group = SubElement(canvas.at, "g", {"class": f"mark {mark.role}{' hollow' if mark.hollow else ''}"})
    if mark.id:
        group.set("data-id", mark.id)
    SubElement(group, "title").text = mark.title
    x, y = canvas.x(mark.x), canvas.y(mark.y)
    if mark.span:
        low, high = (canvas.y(bound) if values == "y" else canvas.x(bound) for bound in mark.span)
        kind, path = ("interval", f"M{x} {low}V{high}") if values == "y" else ("interval thin", f"M{low} {y}H{high}")
        SubElement(group, "path", {"class": kind, "d": path})
    if mark.limit == "at most":
        SubElement(group, "path", {"class": "arrow", "d": f"M{x - 6} {y}h12M{x} {y}v22m-4 -6l4 6l4 -6"})
        return
    if mark.limit:
        SubElement(group, "path", {"class": "arrow", "d": f"M{x} {y}h17m-4 -4l4 4l-4 4"})
    SubElement(group, "path", {"class": "shape", "d": f"M{x} {y}{_SHAPES[mark.shape]}"})
