"""D of models and images: the numbers, their order, and the chart."""

import math

import numpy as np
import torch

from eigexp.report import figure_png
from eigexp.report.compare import comparison, comparison_figure
from eigexp.report.view import View
from eigexp.store import arrays_of
from tests.store.fakes import fake_image, fake_pairs, fake_record


def view(model="onoff", image="camera", top=10.0, bottom=1e-4, layer=None):
    picture = fake_image(name=image)
    pairs = fake_pairs(eigenvalues=torch.tensor([top, bottom], dtype=torch.float64))
    return View.of(arrays_of(pairs, picture), fake_record(pairs, picture, model, layer=layer))


def test_d_is_half_the_log_of_the_ratio():
    assert math.isclose(view(top=10, bottom=1e-4).d or 0, 0.5 * math.log(1e5))
    assert view(bottom=0.0).d is None
    assert view(bottom=1e-13).d is None


def test_models_are_sorted_and_layers_told_apart():
    views = [
        view("a", bottom=1.0),
        view("b", bottom=1e-3),
        view("b", "coins", bottom=1e-2),
        view("a", layer="layer2", bottom=0.1),
        view("z", bottom=0),
    ]
    found = comparison(views)
    assert list(found) == ["b", "a, layer2", "a"]
    assert np.isclose(found["b"]["coins"], 0.5 * np.log(1e3))


def test_chart_has_a_mark_for_every_value():
    views = [view(f"model{i}", image, bottom=10.0 ** -(i + 1)) for i in range(4) for image in ("camera", "coins", "_hidden $x")]
    figure = comparison_figure(views)
    (axes,) = figure.axes
    assert sorted(x for marks in axes.collections for x, _ in marks.get_offsets()) == sorted(v.d or 0 for v in views)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["model3", "model2", "model1", "model0"]
    assert figure_png(figure).startswith(b"\x89PNG")


def test_no_value_is_said():
    (axes,) = comparison_figure([view(bottom=0.0)]).axes
    assert axes.texts[0].get_text() == "no result with both ends"
