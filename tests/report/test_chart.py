"""Axes of charts, and the two painters: each draws every mark, line and label that the data have."""

import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from matplotlib.collections import LineCollection

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
    "t", "what", linear_axis("D", 5, 8, 1.1), row_axis(["$a", "b"]), values="x", bars=((0, 4.0), (1, 2.0)), notes=((0, "4"), (1, "2")),
    marks=(Mark(4, 0, "m0", "value", span=(3.5, 4.5)), Mark(2, 1, "m1", "bound", shape=1, limit="at least")),
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
    for _, text in (*chart.x.ticks, *chart.y.ticks, *((0, label) for *_, label in chart.legend)):
        assert text in words
    groups = [element for element in root.iter("g")]
    assert len(groups) == len(chart.marks) + len(chart.legend)
    assert [("open" in group.get("class")) for group in groups[: len(chart.marks)]] == [bool(mark.limit) for mark in chart.marks]
    assert len(list(root.iter("polyline"))) == len(chart.lines) and len(list(root.iter("rect"))) == len(chart.bars)
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
    assert len(spans) == sum(mark.span is not None for mark in chart.marks)
    assert [label.get_text() for label in axes.get_yticklabels()] == [text for _, text in chart.y.ticks]
    shown = [tuple(map(float, xy)) for found in axes.collections if found not in spans for xy in found.get_offsets()]
    assert shown == [(mark.x, mark.y) for mark in chart.marks if mark.limit != "at most"]
    curves = [line for line in axes.lines if line.get_label() in ("label",) or line.get_alpha() == 0.5]
    assert [tuple(line.get_xdata()) for line in curves] == [tuple(x for x, _ in line.points) for line in chart.lines]
    assert (axes.get_xlim(), axes.get_ylim()) == ((chart.x.low, chart.x.high), (chart.y.low, chart.y.high))
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert all(label in legends for *_, label in chart.legend)


def test_an_empty_chart_says_why():
    chart = empty_chart("t", "what", "x", "y", "nothing & more")
    assert texts(chart_svg(chart)) == ["nothing & more"]
    assert [text.get_text() for text in chart_figure(chart, (3, 2)).axes[0].texts] == ["nothing & more"]
