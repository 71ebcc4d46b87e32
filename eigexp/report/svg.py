"""Charts painted as inline SVG that takes its colours from the page, so that they suit light, dark and paper."""

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
_ROW = 32


class _Canvas:
    """An SVG element with the two axes of a chart as pixels."""

    def __init__(self, chart: Chart):
        rows = chart.values == "x"
        self.width, self.left, self.right = (720, 190, 160 if chart.legend else 30) if rows else (340, 52, 10)
        room = max(_ROW * len(chart.y.ticks), 18 * len(chart.legend)) if rows else 166
        self.top, self.bottom = (14, 26) if rows else (10, 34)
        self.height = room + self.top + self.bottom
        view = {"viewBox": f"0 0 {self.width} {self.height}", "role": "img", "aria-label": chart.label, "class": "chart"}
        self.svg = Element("svg", view)
        self._axes = chart.x, chart.y
        self._floor = self.top + (_ROW * len(chart.y.ticks) if rows else room)

    def x(self, value: float) -> float:
        return round(self.left + self._axes[0].share(value) * (self.width - self.right - self.left), 1)

    def y(self, value: float) -> float:
        return round(self._floor - self._axes[1].share(value) * (self._floor - self.top), 1)

    def write(self, x: float, y: float, words: str, anchor: str = "middle", **more: str) -> None:
        SubElement(self.svg, "text", {"x": str(x), "y": str(round(y, 1)), "text-anchor": anchor, **more}).text = words

    def line(self, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
        SubElement(self.svg, "line", {"class": kind, "x1": str(x1), "x2": str(x2), "y1": str(y1), "y2": str(y2)})


def chart_svg(chart: Chart) -> str:
    """Return a chart as SVG text."""
    canvas = _Canvas(chart)
    if chart.empty:
        canvas.write(canvas.width / 2, canvas.height / 2, chart.empty)
        return tostring(canvas.svg, encoding="unicode")
    _x_axis(canvas, chart.x, grid=chart.values == "x" or not chart.marks)
    _y_axis(canvas, chart.y, grid=chart.values == "y")
    if chart.asked is not None:
        canvas.line("asked", canvas.left, canvas.y(chart.asked), canvas.width - canvas.right, canvas.y(chart.asked))
    for y, end in chart.bars:
        place = {"x": str(canvas.left), "y": str(canvas.y(y) - 13), "width": str(round(canvas.x(end) - canvas.left, 1)), "height": "26"}
        SubElement(canvas.svg, "rect", {"class": "mean", **place})
    for line in chart.lines:
        _line(canvas, line)
    for mark in chart.marks:
        _mark(canvas, mark, chart.values)
    for at, (role, shape, label) in enumerate(chart.legend):
        x, y = canvas.width - canvas.right + 22, 24 + 18 * at
        SubElement(SubElement(canvas.svg, "g", {"class": f"mark {role}"}), "path", {"class": "shape", "d": f"M{x} {y}{_SHAPES[shape]}"})
        canvas.write(x + 10, y + 4, label, "start")
    return tostring(canvas.svg, encoding="unicode")


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
    group = SubElement(canvas.svg, "g", {"class": f"mark {mark.role}{' open' if mark.limit else ''}"})
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
