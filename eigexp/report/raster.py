"""The figure of a result as pixels: what `distortion_figure` shows, drawn in a tenth of the time, for sweeps over many small images."""

from eigexp.report.axes import COLOURS as ROLES
from eigexp.report.canvas import Canvas, Frame, Point, Shapes
from eigexp.report.chart import Axis, Chart, Line, Mark
from eigexp.report.composition import FACT_DROP, FACT_INDENT, FACT_LINE, HEADING_AT, Box, Composition, compose
from eigexp.report.panel import BORDER, COLOURS, Panel
from eigexp.report.pixels import as_picture, to_bytes
from eigexp.report.style import MUTED, figure_png
from eigexp.report.view import View

_DPI, _DPI_OF_SMALL = 150, 120  # for small images 1,400 pixels are wide enough, and half of the time goes into the pixels
_SMALL_SIDE = 128  # pixels
_HEADING, _TITLE, _LABEL, _SMALL = 12, 9, 9, 8  # points of text, as in style.mplstyle
_RISE, _DROP = 0.76, 0.24  # of a line of text above and below its baseline, of its size
_PAD = 5  # points between axes and title
_TICK, _TICK_PAD, _LABEL_PAD = 3.5, 3.5, 4
_AXIS, _GRID, _TICK_COLOUR, _AXIS_COLOUR, _GRID_COLOUR = 0.8, 0.6, "#333333", "#555555", "#E4E4E4"
_DASHES, _DOTS = (4, 1.5), (1, 1.65)
_DISC = 4.47  # points, an area of 20
_ARROW, _HEAD = 22, (1.8, 3.6)  # points of an arrow, and of its head
_SAMPLE, _ROW = 11.2, 12.0  # points of a line of the legend


def result_png(view: View, scale: float | None = None, dpi: int | None = None) -> bytes:
    """Return the figure of a result as a PNG file; by matplotlib where it shows signals rather than pictures.

    Args:
        view: of the result.
        scale: norm of the distortions, in pixel units; chosen so that they are visible by default.
        dpi: pixels of an inch; 150 by default, 120 for images of at most 128 × 128 pixels.

    Raises:
        ConfigurationError: if the scale is not positive.
    """
    composition = compose(view, scale)
    dpi = dpi or (_DPI_OF_SMALL if max(view.image.shape[-2:]) <= _SMALL_SIDE else _DPI)
    if composition.has_pictures:
        return paint(composition, dpi)
    from eigexp.report.distortions import composition_figure  # with matplotlib's figures, which nothing else here needs

    return figure_png(composition_figure(composition), dpi)


def paint(composition: Composition, dpi: int = _DPI) -> bytes:
    """Return the figure of a result as a PNG file. Its panels must be pictures."""
    canvas = Canvas(composition.width, composition.height, dpi)
    x, y = HEADING_AT
    top = (1 - y) * composition.height * dpi
    canvas.text((x * composition.width * dpi, top + canvas.points(_RISE * _HEADING)), composition.heading, _HEADING, bold=True)
    for box, chart in composition.charts:
        _Axes(canvas, _frame(canvas, box), chart).draw()
    for box, panel in composition.panels:
        _panel(canvas, _frame(canvas, box), panel)
    box, facts = composition.facts
    _facts(canvas, _frame(canvas, box), facts)
    return canvas.png()


def _frame(canvas: Canvas, box: Box) -> Frame:
    top = canvas.inches[1] - box.bottom - box.height
    sides = (box.left, top, box.left + box.width, top + box.height)
    return Frame(*(side * canvas.dpi for side in sides))


def _panel(canvas: Canvas, frame: Frame, panel: Panel) -> None:
    colour = COLOURS[panel.role]
    picture = as_picture(panel.values, panel.channel)
    assert picture is not None
    shown = canvas.picture(frame, to_bytes(picture))
    canvas.border(shown, BORDER, MUTED if panel.role == "image" else colour)
    canvas.text((shown.left, shown.top - canvas.points(_PAD)), panel.title, _TITLE, colour)
    below = shown.bottom + canvas.points(_LABEL_PAD + _RISE * _SMALL)
    canvas.text((shown.centre[0], below), panel.note, _SMALL, MUTED, share=0.5)


def _facts(canvas: Canvas, frame: Frame, facts: tuple[tuple[str, str], ...]) -> None:
    for i, (name, value) in enumerate(facts):
        y = frame.top + canvas.points(FACT_DROP + i * FACT_LINE + _RISE * _SMALL)
        canvas.text((frame.left, y), name, _SMALL, MUTED)
        canvas.text((frame.left + canvas.points(FACT_INDENT), y), value, _SMALL)


class _Axes:
    """A chart of marks or lines within a frame."""

    def __init__(self, canvas: Canvas, frame: Frame, chart: Chart):
        self.canvas, self.frame, self.chart = canvas, frame, chart

    def draw(self) -> None:
        canvas, frame, chart = self.canvas, self.frame, self.chart
        room = canvas.points(_ARROW)
        with Shapes(canvas, Frame(frame.left - room, frame.top - room, frame.right + room / 2, frame.bottom + room)) as shapes:
            self._axis_lines(shapes)
            if chart.asked is not None:
                y = self._y(chart.asked)
                shapes.line([(frame.left, y), (frame.right, y)], MUTED, 1.2, dashes=_DOTS, snap=True)
            for line in chart.lines:
                self._line(shapes, line)
            for mark in chart.marks:
                self._mark(shapes, mark)
            texts = self._legend(shapes) if any(line.label for line in chart.lines) else []
        for at, text in texts:
            canvas.text(at, text, _SMALL)
        canvas.text((frame.left, frame.top - canvas.points(_PAD)), chart.title, _TITLE)
        self._labels()

    def _x(self, value: float) -> float:
        return self.frame.left + self.chart.x.share(value) * (self.frame.right - self.frame.left)

    def _y(self, value: float) -> float:
        return self.frame.bottom - self.chart.y.share(value) * (self.frame.bottom - self.frame.top)

    def _ticks(self, axis: Axis) -> tuple[tuple[float, str], ...]:
        return () if self.chart.empty else axis.ticks

    def _axis_lines(self, shapes: Shapes) -> None:
        frame, tick = self.frame, self.canvas.points(_TICK)
        left, top, right, bottom = frame.left, frame.top, frame.right, frame.bottom
        xs = [self._x(value) for value, _ in self._ticks(self.chart.x)]
        ys = [self._y(value) for value, _ in self._ticks(self.chart.y)]
        upright = [] if self.chart.marks else [((x, top), (x, bottom)) for x in xs]
        shapes.segments([((left, y), (right, y)) for y in ys] + upright, _GRID_COLOUR, _GRID)
        below, beside = [((x, bottom), (x, bottom + tick)) for x in xs], [((left - tick, y), (left, y)) for y in ys]
        shapes.segments(below + beside, _TICK_COLOUR, _AXIS)
        shapes.segments([((left, top), (left, bottom)), ((left, bottom), (right, bottom))], _AXIS_COLOUR, _AXIS)

    def _line(self, shapes: Shapes, line: Line) -> None:
        points = [(self._x(x), self._y(y)) for x, y in line.points]
        if len(points) == 1:
            shapes.disc(points[0], 5, 1, ROLES[line.role], ROLES[line.role])
            return
        width, alpha = (1, 0.5) if line.minor else (1.6, 1.0)
        shapes.line(points, ROLES[line.role], width, alpha=alpha, dashes=_dashes(line))

    def _mark(self, shapes: Shapes, mark: Mark) -> None:
        x, y, colour = self._x(mark.x), self._y(mark.y), ROLES[mark.role]
        if mark.span:
            shapes.line([(x, self._y(value)) for value in mark.span], colour, 3, alpha=0.35, snap=True)
        if mark.limit:
            self._bound(shapes, (x, y), colour)
        else:
            shapes.disc((x, y), _DISC, 1.1, colour, "white" if mark.hollow else colour)

    def _bound(self, shapes: Shapes, at: Point, colour: str) -> None:
        """Draw an upper bound: a short line, and an arrow down."""
        (x, y), points = at, self.canvas.points
        shapes.line([(x - points(6), y), (x + points(6), y)], colour, 1.5, snap=True)
        end, half, back = y + points(_ARROW), points(_HEAD[0]), points(_HEAD[1])
        shapes.line([(x, y), (x, end)], colour, 1.2)
        shapes.line([(x - half, end - back), (x, end), (x + half, end - back)], colour, 1.2)

    def _labels(self) -> None:
        canvas, frame, chart = self.canvas, self.frame, self.chart
        out = 0 if chart.empty else canvas.points(_TICK + _TICK_PAD)
        rise = canvas.points(_RISE * _SMALL)
        for value, text in self._ticks(chart.x):
            canvas.text((self._x(value), frame.bottom + out + rise), text, _SMALL, _TICK_COLOUR, share=0.5)
        for value, text in self._ticks(chart.y):
            canvas.text((frame.left - out, self._y(value) + rise / 2), text, _SMALL, _TICK_COLOUR, share=1)
        (x, y), pad = frame.centre, canvas.points(_LABEL_PAD)
        height = canvas.points(_SMALL) if self._ticks(chart.x) else 0
        canvas.text((x, frame.bottom + out + height + pad + canvas.points(_RISE * _LABEL)), chart.x.label, _LABEL, share=0.5)
        widest = max((canvas.text_width(text, _SMALL) for _, text in self._ticks(chart.y)), default=0.0)
        canvas.text((frame.left - out - widest - pad - canvas.points(_DROP * _LABEL), y), chart.y.label, _LABEL, share=0.5, up=True)
        if chart.empty:
            canvas.text((x, y), chart.empty, _LABEL, MUTED, share=0.5)

    def _legend(self, shapes: Shapes) -> list[tuple[Point, str]]:
        """Draw the samples of the legend in the corner with the fewest points of lines. Return its texts and where they stand."""
        points, rows = self.canvas.points, self._entries()
        width = points(_SAMPLE + 6) + max(self.canvas.text_width(text, _SMALL) for *_, text in rows)
        left, top = self._emptiest(width, points(_ROW) * len(rows))
        texts = []
        for i, (colour, thickness, dashes, text) in enumerate(rows):
            y = top + points(_ROW) * (i + 0.5)
            shapes.line([(left, y), (left + points(_SAMPLE), y)], colour, thickness, dashes=dashes, snap=True)
            texts.append(((left + points(_SAMPLE + 6), y + points(_RISE * _SMALL) / 2), text))
        return texts

    def _entries(self) -> list[tuple[str, float, tuple[float, ...], str]]:
        lines = [(ROLES[line.role], 1.6, _dashes(line), line.label) for line in self.chart.lines if line.label]
        return lines + ([(MUTED, 1.2, _DOTS, "tolerance")] if self.chart.asked is not None else [])

    def _emptiest(self, width: float, height: float) -> Point:
        frame, pad = self.frame, self.canvas.points(4.5)
        lefts, tops = (frame.right - 1.6 * pad - width, frame.left + 1.6 * pad), (frame.top + pad, frame.bottom - pad - height)
        taken = [(self._x(x), self._y(y)) for line in self.chart.lines for x, y in line.points]

        def covered(corner: Point) -> int:
            left, top = corner
            return sum(left - pad <= x <= left + width + pad and top - pad <= y <= top + height + pad for x, y in taken)

        return min(((left, top) for top in tops for left in lefts), key=covered)


def _dashes(line: Line) -> tuple[float, ...]:
    return _DASHES if line.role == "bottom" or line.dashed else ()
