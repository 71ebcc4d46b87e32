"""Display arrays: one norm, symmetric about mid-grey, nothing clipped silently."""

import numpy as np
import pytest

from eigexp.report.pixels import about_grey, add, as_picture, default_scale, is_picture, to_bytes
from tests.store.fakes import blob, unit


def test_about_grey_is_symmetric():
    shown, peak = about_grey(np.array([-2.0, 0.0, 1.0]))
    assert shown.tolist() == [0.0, 0.5, 0.75]
    assert peak == 2.0


def test_nothing_is_grey_everywhere():
    shown, peak = about_grey(np.zeros(3))
    assert (shown.tolist(), peak) == ([0.5] * 3, 0.0)


def test_default_scale_makes_both_ends_visible():
    noise = unit(np.random.default_rng(0).standard_normal((1, 256, 256)))
    pair = np.stack([unit(blob((1, 256, 256), 0)), noise])
    scale = default_scale(pair)
    peaks = scale * np.abs(pair).max(axis=(1, 2, 3))
    assert 0.39 <= peaks.max() <= 1.01
    assert peaks.min() >= 0.11


def test_default_scale_of_a_single_pixel_stays_within_the_range():
    spike = np.zeros((1, 64, 64))
    spike[0, 3, 3] = 1
    noise = unit(np.random.default_rng(0).standard_normal((1, 64, 64)))
    assert default_scale(np.stack([spike, noise])) == 1.0
    assert default_scale(np.zeros((2, 5))) == 1.0
    assert default_scale(np.zeros((0, 5))) == 1.0


def test_add_counts_what_leaves_the_range():
    result = add(np.array([0.0, 0.5, 1.0, 0.9]), np.array([-1.0, 1.0, 1.0, 1.0]), 0.2)
    assert result.clipped == 0.75
    assert np.allclose(result.values, [-0.2, 0.7, 1.2, 1.1])


@pytest.mark.parametrize(
    ("shape", "picture"),
    [
        ((1, 8, 9), (8, 9)),
        ((3, 8, 9), (8, 9, 3)),
        ((4, 8, 9), (8, 9)),
        ((2, 3, 8, 9), (8, 9)),
        ((8, 9), (8, 9)),
        ((9,), None),
        ((2, 9), None),
        ((1, 1, 9), None),
    ],
)
def test_shapes(shape, picture):
    found = as_picture(np.zeros(shape))
    assert (None if found is None else found.shape) == picture
    assert is_picture(shape) == (picture is not None)


def test_bytes_round_and_clip():
    assert to_bytes(np.array([-0.1, 0.0, 0.5, 1.0, 1.7])).tolist() == [0, 0, 128, 255, 255]
