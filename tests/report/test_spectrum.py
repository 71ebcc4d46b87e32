"""Eigenvalues on a log axis: intervals as bars, what is zero as an upper limit."""

import numpy as np
import torch

from eigexp.report.spectrum import spectrum_figure
from eigexp.store import arrays_of
from tests.store.fakes import fake_image, fake_pairs, fake_record


def parts(k=1, **changes):
    image, pairs = fake_image(), fake_pairs(k=k, **changes)
    return arrays_of(pairs, image), fake_record(pairs, image)


def test_spectrum_marks_values_intervals_and_limits():
    (axes,) = spectrum_figure(*parts(k=2)).axes
    heights = [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert np.allclose(heights, [10, 9, 2e-4, 1e-4])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "n−2", "n−1"]


def test_spectrum_of_many_pairs_keeps_few_ticks():
    (axes,) = spectrum_figure(*parts(k=60)).axes
    assert len(axes.get_xticklabels()) <= 16
    assert axes.get_xticklabels()[-1].get_text() == "n−1"


def arrows(axes) -> list[float]:
    return [text.xyann[1] for text in axes.texts if text.arrow_patch is not None]


def test_an_interval_that_reaches_zero_points_down():
    values = torch.tensor([10.0, 1e-4], dtype=torch.float64)
    intervals = torch.tensor([[9.9, 10.1], [0.0, 3e-4]], dtype=torch.float64)
    (axes,) = spectrum_figure(*parts(eigenvalues=values, intervals=intervals)).axes
    assert np.allclose(arrows(axes), [1e-4])


def test_a_null_eigenvalue_is_an_upper_limit():
    values = torch.tensor([10.0, 0.0], dtype=torch.float64)
    intervals = torch.tensor([[9.9, 10.1], [0.0, 2e-5]], dtype=torch.float64)
    (axes,) = spectrum_figure(*parts(eigenvalues=values, intervals=intervals)).axes
    assert np.allclose(arrows(axes), [2e-5])
    assert len([line for line in axes.lines if line.get_marker() == "o"]) == 1


def test_all_zero_is_said():
    (axes,) = spectrum_figure(*parts(eigenvalues=torch.zeros(2, dtype=torch.float64))).axes
    assert [text.get_text() for text in axes.texts] == ["all eigenvalues are zero"]
