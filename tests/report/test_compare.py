"""D of models and images: the numbers, their order, and the chart."""

import math

import numpy as np
import pytest
import torch

from eigexp.report import figure_png
from eigexp.report.compare import comparison, comparison_chart, comparison_figure, dodge
from eigexp.report.view import View
from eigexp.store import arrays_of
from tests.store.fakes import fake_image, fake_pairs, fake_record


def view(model="onoff", image="camera", top=10.0, bottom=1e-4, layer=None, high=None):
    picture = fake_image(name=image)
    values = torch.tensor([top, bottom], dtype=torch.float64)
    bounds = {} if high is None else {"intervals": torch.tensor([[top, top], [0.0, high]], dtype=torch.float64)}
    pairs = fake_pairs(eigenvalues=values, **bounds)
    return View.of(arrays_of(pairs, picture), fake_record(pairs, picture, model, layer=layer))


def test_d_is_half_the_log_of_the_ratio():
    assert math.isclose(view(top=10, bottom=1e-4).d or 0, 0.5 * math.log(1e5))
    assert view(bottom=0.0).d is None
    assert view(bottom=1e-13).d is None


def test_a_bottom_that_may_be_zero_bounds_d_from_below():
    (found,) = comparison([view(bottom=1e-15, high=1e-5)])["onoff"].values()
    assert found.is_bound
    assert math.isclose(found.value, 0.5 * math.log(1e6))
    (found,) = comparison([view(bottom=1e-6, high=1e-5)])["onoff"].values()  # a value, but zero is not ruled out
    assert found.is_bound
    (found,) = comparison([view(bottom=1e-3)])["onoff"].values()
    assert not found.is_bound
    assert found.low < found.value == 0.5 * math.log(1e4) < found.high


def test_models_are_sorted_and_layers_told_apart():
    views = [
        view("a", bottom=1.0),
        view("b", bottom=1e-3),
        view("b", "coins", bottom=1e-2),
        view("a", layer="layer2", bottom=0.1),
        view("z", bottom=0, high=0.0),
    ]
    found = comparison(views)
    assert list(found) == ["b", "a, layer2", "a"]
    assert np.isclose(found["b"]["coins"].value, 0.5 * np.log(1e3))


def test_chart_has_a_mark_for_every_value():
    bottoms = [10.0 ** -(i + 1) for i in range(4)]
    views = [view(f"model{i}", image, bottom=b, high=b) for i, b in enumerate(bottoms) for image in ("camera", "coins", "_hidden $x")]
    chart = comparison_chart(comparison(views))
    assert sorted(mark.x for mark in chart.marks) == pytest.approx(sorted((v.d_bounds or (0,))[0] for v in views))
    assert [text for _, text in chart.y.ticks] == ["model3", "model2", "model1", "model0"]
    assert all(mark.limit == "at least" and mark.span is None for mark in chart.marks)
    assert {(mark.role, mark.shape) for mark in chart.marks} == {("m0", 0), ("m1", 1), ("m2", 2)} == {part[:2] for part in chart.legend}
    assert max(mark.x for mark in chart.marks) < 0.95 * chart.x.high  # room for the arrow
    assert figure_png(comparison_figure(views)).startswith(b"\x89PNG")


def test_a_value_has_its_interval_and_its_words():
    (mark,) = comparison_chart(comparison([view(bottom=1e-3)])).marks
    assert mark.limit == "" and mark.span[0] < mark.x < mark.span[1]
    assert mark.title.startswith("onoff, camera: D = 4.6")


def test_equal_values_of_images_lie_side_by_side():
    assert [dodge(at, 3, 1.0) for at in range(3)] == [-0.5, 0.0, 0.5]
    assert dodge(0, 1, 1.0) == 0


def test_no_value_is_said():
    assert comparison_chart(comparison([view(bottom=0.0, high=0.0)])).empty == "no result with both ends"
