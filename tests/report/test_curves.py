"""Curves come from the rows of curves.csv, on a log axis, whatever is missing."""

import math

import pytest

from eigexp.report.curves import MOST_POINTS, convergence, curve_series
from eigexp.report.view import View
from eigexp.store import arrays_of
from tests.store.fakes import fake_curves, fake_image, fake_pairs, fake_record


def parts(k=1, **changes):
    image, pairs = fake_image(), fake_pairs(k=k, **changes)
    return arrays_of(pairs, image), fake_record(pairs, image), fake_curves(pairs)


def test_series_have_products_and_relative_residuals():
    rows = [
        {"fisher_vector_products": 2, "residual/0": 4.0, "eigenvalue/0": 1.0, "phase": "x"},
        {"fisher_vector_products": 4, "residual/0": math.nan, "residual/9": None, "eigenvalue/0": 2.0},
        {"fisher_vector_products": 6, "residual/0": 0.0, "residual/9": 1.0},
    ]
    assert curve_series(rows, "residual", 2.0) == {0: ([2.0], [2.0]), 9: ([6.0], [0.5])}
    assert curve_series(rows, "eigenvalue") == {0: ([2.0, 4.0], [1.0, 2.0])}
    assert curve_series([], "residual") == {}


def test_long_curves_are_thinned_but_keep_their_ends():
    rows = [{"fisher_vector_products": i, "residual/0": 1.0 / i} for i in range(1, 10_001)]
    x, y = curve_series(rows, "residual")[0]
    assert len(x) == MOST_POINTS
    assert (x[0], x[-1], y[-1]) == (1.0, 10_000.0, 1e-4)


@pytest.mark.parametrize("quantity", ["residual", "eigenvalue"])
def test_lines_are_the_series(quantity):
    arrays, record, curves = parts(k=2)
    chart = convergence(View.of(arrays, record, curves), quantity)
    series = curve_series(curves, quantity, 10.0 if quantity == "residual" else 1.0)
    assert [line.points for line in chart.lines] == [tuple(zip(x, y, strict=True)) for x, y in series.values()]
    assert [(line.role, line.minor, line.label) for line in chart.lines] == [
        ("top", False, "eigenindex 0"), ("top", True, ""), ("bottom", True, ""), ("bottom", False, "eigenindex n−1"),
    ]  # fmt: skip
    assert chart.asked == (1e-5 if quantity == "residual" else None)
    assert chart.y.log and all(chart.y.low < value < chart.y.high for line in chart.lines for _, value in line.points)


def test_absence_of_curves_is_said():
    arrays, record, _ = parts()
    assert convergence(View.of(arrays, record)).empty == "no curves kept"
