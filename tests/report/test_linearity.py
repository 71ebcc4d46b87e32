"""Up to which norm the linear prediction holds is said rightly, and drawn."""

import csv

import pytest

from eigexp.report.linearity import Measured, linear_up_to, linearity_charts, linearity_csv, linearity_figure, linearity_words

ALPHAS = (0.1, 1.0, 10.0)


def rows(ratios=(1.0, 1.05, 1.2), rank=0, value=4.0, lower=3.9, upper=4.1):
    return [
        Measured(rank, 100, value, lower, upper, sign * a, a * value**0.5, a * upper**0.5, r * a * (value if lower else upper) ** 0.5, 0.0)
        for a, r in zip(ALPHAS, ratios, strict=True)
        for sign in (1, -1)
    ]


@pytest.mark.parametrize(
    ("ratios", "reached"), [((1.0, 1.05, 1.2), 1.0), ((1.0, 0.95, 1.0), 10.0), ((1.0, 0.85, 1.0), 0.1), ((0.5, 1.0, 1.0), 0.0)]
)
def test_it_holds_up_to_the_first_norm_that_departs(ratios, reached):
    assert linear_up_to(rows(ratios)) == reached


def test_one_sign_that_departs_is_enough():
    both = rows((1.0, 1.0, 1.0))
    broken = [r if r.alpha != -1.0 else Measured(**{**r.__dict__, "measured": 0.0}) for r in both]
    assert linear_up_to(broken) == 0.1


def test_a_value_that_may_be_zero_is_held_to_its_upper_bound():
    below = rows((0.1, 0.5, 1.5), rank=99, value=1e-9, lower=0.0, upper=1e-6)
    assert linear_up_to(below) == 1.0
    (line,) = linearity_words(below)
    assert (
        line == "least noticeable: the change of the response is at most alpha * sqrt(upper bound of lambda) up to norm 1 (tested up to 10)"
    )
    assert linearity_words(rows((2.0, 1.0, 1.0))) == [
        "most noticeable: the change of the response is alpha * sqrt(lambda) within 10% not even at norm 0.1"
    ]


def test_the_table_has_every_number():
    found = list(csv.DictReader(linearity_csv(rows()).decode().splitlines()))
    assert [float(row["measured"]) for row in found] == [row.measured for row in rows()]
    assert set(found[0]) >= {"eigenindex", "alpha", "predicted", "measured", "outside"}


def test_the_figure_shows_every_measurement_and_never_cuts_one_off():
    measured = [*rows((1.0, 1.0, 5.0)), *rows((0.0, 1.0, 1.0), rank=99, lower=0.0)]
    above, below = linearity_charts(measured, "<b>$x")
    assert len(above.marks) == sum(row.measured > 0 for row in measured) == 10  # a log axis has no zero
    assert len(below.marks) == 12 and {round(mark.y, 9) for mark in below.marks} == {0.0, 1.0, 5.0}
    assert [mark.hollow for mark in below.marks] == [row.alpha < 0 for row in measured]
    assert [(line.role, line.dashed) for line in above.lines] == [("top", False), ("bottom", True)]
    for chart in (above, below):
        assert all(chart.y.low <= mark.y <= chart.y.high and chart.x.low <= mark.x <= chart.x.high for mark in chart.marks)
    figure = linearity_figure(measured, "<b>$x")
    assert figure.axes[0].get_title(loc="left") == "<b>$x"
    assert len(figure.legends[0].get_texts()) == 6
