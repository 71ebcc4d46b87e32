"""Eigenvalues on a log axis: intervals as bars, what may be zero as a limit. The data alone; painters have their own test."""

import numpy as np
import pytest
import torch

from eigexp.report.spectrum import spectrum
from eigexp.report.view import View
from eigexp.store import arrays_of
from tests.store.fakes import fake_image, fake_pairs, fake_record


def chart(k=1, **changes):
    image, pairs = fake_image(), fake_pairs(k=k, **changes)
    return spectrum(View.of(arrays_of(pairs, image), fake_record(pairs, image)))


def two(value, low, high, **changes):
    intervals = torch.tensor([[9.9, 10.1], [low, high]], dtype=torch.float64)
    return chart(eigenvalues=torch.tensor([10.0, value], dtype=torch.float64), intervals=intervals, **changes)


def test_values_with_their_intervals_side_by_side_with_a_gap():
    found = chart(k=2)
    assert np.allclose([mark.y for mark in found.marks], [10, 9, 2e-4, 1e-4])
    assert [mark.x for mark in found.marks] == [0, 1, 3, 4]
    assert [text for _, text in found.x.ticks] == ["0", "1", "n−2", "n−1"]
    assert [mark.role for mark in found.marks] == ["top", "top", "bottom", "bottom"]
    assert found.x.label == "eigenindex (0 = largest)" and not any(mark.hollow for mark in found.marks)
    assert found.marks[0].span == pytest.approx((10 - 1e-5, 10 + 1e-5))
    assert found.marks[0].title.startswith("eigenindex 0: 10 [") and not any(mark.limit for mark in found.marks)


def test_an_end_that_is_not_verified_is_hollow():
    assert [mark.hollow for mark in chart(evidence={"top": "krylov", "bottom": "budget"}, verified=False).marks] == [False, True]


def test_many_pairs_keep_few_ticks():
    ticks = chart(k=60).x.ticks
    assert len(ticks) <= 8 and (ticks[0][1], ticks[-1][1]) == ("0", "n−1")


@pytest.mark.parametrize("value", [1e-4, 0.0, -5e-15])
def test_an_interval_that_reaches_zero_is_a_limit_at_its_upper_bound(value):
    found = two(value, 0.0, 3e-4)
    assert (found.marks[1].y, found.marks[1].limit, found.marks[1].span) == (3e-4, "at most", None)
    assert found.marks[1].title == "eigenindex 255: ≤ 3×10⁻⁴"
    assert found.y.low <= 3e-5  # room for the arrow


def test_an_interval_that_nearly_reaches_zero_does_not_flatten_the_rest():
    found = two(1e-4, 1e-200, 3e-4)
    assert found.marks[1].span == pytest.approx((1e-7, 3e-4)) and found.y.low >= 1e-9


def test_what_is_not_verified_says_so():
    assert two(1e-4, 0.9e-4, 1.1e-4, evidence={"top": "krylov", "bottom": "budget"}).marks[1].title.endswith("not verified")


def test_all_zero_is_said():
    zero = torch.zeros(2, dtype=torch.float64)
    assert chart(eigenvalues=zero, intervals=torch.zeros(2, 2, dtype=torch.float64)).empty == "all eigenvalues are zero"
