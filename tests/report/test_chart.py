"""Axes of charts, and the two painters: each draws every mark, line and label that the data have."""

import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from eigexp.report.axes import chart_figure
from eigexp.report.chart import Axis, Chart, Line, Mark, empty_chart, linear_axis, log_axis, row_axis, thinned
from eigexp.report.svg import chart_svg

MARKS = (
    Mark(0, 10, "top", "first", span=(9, 11)),
    Mark(1, 1e-4, "bottom", "second", limit="at most"),
)
EIGENVALUES = Chart("t", "what", Axis("x", -1, 2, ((0, "a"), (1, "b"))), log_axis("y", (1e-5, 11)), marks=MARKS)
CURVES = Chart(
    "t", "what", linear_axis("x", 10, 5), log_axis("y", (1e-3, 1)), asked=1e-2,
    lines=(Line(((1, 1), (2, 0.1)), "top", "one", "label"), Line(((1, 0.5),), "bottom", "other", minor=True)),
)  # fmt: skip
ROWS = Chart(
    "t", "what", linear_axis("D", 5, 8, 1.1), row_axis(["$a", "b"]), values="x", means=((0, 4.0),), notes=((0, "4"), (1, "2")),
    marks=(Mark(4, 0, "m0", "value", span=(3.5, 4.5)), Mark(2, 1, "m1", "bound", shape=1, limit="at least", hollow=True, id="ab")),
    legend=(("m0", 0, "camera"), ("m1", 1, "$coins")), dividers=(0.5,),
)  # fmt: skip
CHARTS = {"eigenvalues": EIGENVALUES, "curves": CURVES, "rows": ROWS}


@pytest.mark.parametrize(("low", "high"), [(1e-5, 11), (0.5, 0.6), (1.0, 1.0), (1e-14, 0.3), (3e-300, 1e10)])
def test_a_log_axis_holds_its_values_between_whole_powers_and_has_few_ticks_at_even_steps(low, high):
    axis = log_axis("", (low, high))
    assert axis.low < low and high < axis.high and axis.share(axis.low) == 0 and axis.share(axis.high) == pytest.approx(1)
    powers = [round(math.log10(value)) for value, _ in axis.ticks]
    assert 1 <= len(powers) <= 9 and len({b - a for a, b in pairwise(powers)}) <= 1
    assert axis.ticks[0][1].startswith("10")


@pytest.mark.parametrize("high", [0.0, 3e-4, 1.0, 6.9, 212.0, 98765.0])
def test_a_linear_axis_begins_at_zero_and_has_round_ticks(high):
    axis = linear_axis("", high, 5)
    assert axis.low == 0 < axis.high and axis.ticks[0] == (0.0, "0") and 2 <= len(axis.ticks) <= 6
    assert axis.ticks[-1][0] <= axis.high * (1 + 1e-12)


def test_rows_are_read_from_the_top_and_places_are_thinned():
    axis = row_axis(["a", "b", "c"])
    assert axis.share(0) > axis.share(1) > axis.share(2)
    assert thinned(3, 6) == [0, 1, 2] and thinned(100, 6)[0] == 0 and thinned(100, 6)[-1] == 99 and len(thinned(100, 6)) <= 7


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter() if element.tag in ("text", "title")]


@pytest.mark.parametrize("name", CHARTS)
def test_the_page_has_every_mark_line_and_label(name):
    chart = CHARTS[name]
    svg = chart_svg(chart)
    root = ElementTree.fromstring(svg)
    words = texts(svg)
    for part in (*chart.marks, *chart.lines):
        assert part.title in words
    for _, text in (*chart.x.ticks, *chart.y.ticks):
        assert text in words
    marks = [element for element in root.iter("g") if element.get("class", "").startswith("mark")]
    assert [("hollow" in mark.get("class"), mark.get("data-id") or "") for mark in marks] == [(m.hollow, m.id) for m in chart.marks]
    assert [mark.get("class").split()[1] for mark in marks] == [m.role for m in chart.marks]
    assert [sum(path.get("class") == "arrow" for path in mark) for mark in marks] == [bool(m.limit) for m in chart.marks]
    assert len(list(root.iter("polyline"))) == len(chart.lines)
    assert len([line for line in root.iter("line") if line.get("class") == "mean"]) == len(chart.means)
    if chart.values == "x":
        assert len([group for group in root.iter("g") if group.get("class") == "row"]) == len(chart.y.ticks)
    _, _, width, height = map(float, root.get("viewBox").split())
    for text in root.iter("text"):
        assert 0 <= float(text.get("x")) <= width and 0 <= float(text.get("y")) <= height


@pytest.mark.parametrize("name", CHARTS)
def test_a_figure_has_every_mark_line_and_label(name):
    chart = CHARTS[name]
    figure = chart_figure(chart, (6, 3))
    (axes,) = figure.axes
    arrows = [text for text in axes.texts if getattr(text, "arrow_patch", None)]
    assert len(arrows) == sum(bool(mark.limit) for mark in chart.marks)
    spans = [found for found in axes.collections if isinstance(found, LineCollection)]
    assert len(spans) == sum(mark.span is not None for mark in chart.marks) + len(chart.means)
    assert [label.get_text() for label in axes.get_yticklabels()] == [text for _, text in chart.y.ticks]
    shown = [tuple(map(float, xy)) for found in axes.collections if found not in spans for xy in found.get_offsets()]
    assert shown == [(mark.x, mark.y) for mark in chart.marks if mark.limit != "at most"]
    curves = [line for line in axes.lines if line.get_label() in ("label",) or line.get_alpha() == 0.5]
    assert [tuple(line.get_xdata()) for line in curves] == [tuple(x for x, _ in line.points) for line in chart.lines]
    assert (axes.get_xlim(), axes.get_ylim()) == ((chart.x.low, chart.x.high), (chart.y.low, chart.y.high))
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert all(label in legends for *_, label in chart.legend)


def test_colours_of_ends_and_hollow_marks_are_what_they_mean():
    marks = (Mark(0, 10, "top"), Mark(1, 1e-2, "bottom", hollow=True))
    figure = chart_figure(Chart("t", "what", Axis("x", -1, 2), log_axis("y", (1e-3, 11)), marks=marks), (4, 3))
    found = [collection for collection in figure.axes[0].collections if len(collection.get_offsets()) == 1]
    assert [to_hex(one.get_edgecolor()[0]) for one in found] == ["#d55e00", "#0072b2"]  # orange is the largest, blue the smallest
    assert [to_hex(one.get_facecolor()[0]) for one in found] == ["#d55e00", "#ffffff"]


@pytest.mark.parametrize("values", ["x", "y"])
def test_an_arrow_points_to_where_the_value_may_be(values):
    marks = (Mark(2, 2, "m0", limit="at least"), Mark(3, 3, "m1", limit="at most"))
    axis = Axis("", 1, 4)
    axes = chart_figure(Chart("t", "what", axis, axis, values, marks), (4, 3)).axes[0]
    assert [line.get_marker() for line in axes.lines] == ["_"]  # an upper bound is a bar, and no point
    texts = axes.texts
    along = [text.xyann[0 if values == "x" else 1] for text in texts]
    assert along[0] > 0 > along[1]
    assert [text.xyann[1 if values == "x" else 0] for text in texts] == [0, 0]


def test_a_phone_has_every_name_above_its_row_within_the_picture():
    chart = Chart("t", "what", linear_axis("D", 5, 3), row_axis(["a name " * 12, "b"]), "x", notes=((0, "4.60"), (1, "")), marks=ROWS.marks)
    root = ElementTree.fromstring(chart_svg(chart, phone=True))
    _, _, width, height = map(float, root.get("viewBox").split())
    words = [text for text in root.iter("text")]
    assert "a name a name" in words[0].text and any("4.60" in text.text for text in words)
    assert all(float(text.get("x")) + 7 * len(text.text) <= width + 40 and 0 < float(text.get("y")) <= height for text in words)


def test_an_empty_chart_says_why():
    chart = empty_chart("t", "what", "x", "y", "nothing & more")
    assert texts(chart_svg(chart)) == ["nothing & more"]
    assert [text.get_text() for text in chart_figure(chart, (3, 2)).axes[0].texts] == ["nothing & more"]
