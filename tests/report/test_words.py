"""Words of figures and pages that are not labels."""

import math

import pytest

from eigexp.report.words import clipping_words, d_cell, d_words, evidence_words, shortened, shortened_apart, wrapped


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ((5.6, 5.9), "[5.6, 5.9]"),
        ((5.7, math.inf), "at least 5.7"),
        ((5.7561, 5.7564), "5.756 [5.756, 5.757]"),
        ((5.7545, 5.7655), "5.76 [5.754, 5.766]"),
        (None, "5.76"),
    ],
)
def test_d_says_what_its_intervals_leave_open(bounds, text):
    assert d_words(5.7562, bounds) == text


def test_d_in_tables():
    cells = [d_cell(5.756, (5.752, 5.76)), d_cell(5.756, (5.7, math.inf)), d_cell(None, (5.7, math.inf)), d_cell(None, None)]
    assert cells == ["5.76", "≥ 5.7", "≥ 5.7", "–"]
    assert d_words(None, (5.7, math.inf)) == "at least 5.7"


@pytest.mark.parametrize(("share", "text"), [(0.0, "nothing clipped"), (1.0, "100 % clipped"), (0.00044, "0.044 % clipped")])
def test_clipping(share, text):
    assert clipping_words(share) == text
    assert clipping_words(0.5, "values") == "50 % of values clipped"


def test_evidence():
    record = {"evidence": {"top": "krylov", "bottom": None}}
    assert [evidence_words(record, end) for end in ("top", "bottom")] == ["Krylov evidence", "not computed"]


def test_long_names_lose_their_middle():
    assert shortened("a" * 30 + "b" * 30, 11) == "aaaaa…bbbbb"
    assert shortened("short") == "short"


def test_different_names_stay_different_when_they_are_cut():
    assert shortened_apart(["short", "a" * 30 + "b" * 30], 11) == ["short", "aaaaa…bbbbb"]
    layers = [f"features.{i}.convolution2" for i in (1, 2)]
    assert shortened_apart(layers, 16) == ["….1.convolution2", "….2.convolution2"]
    photographs = [f"a_photograph_{i:02d}_from_the_garden" for i in range(12)]
    cut = shortened_apart(photographs, 18)
    assert len(set(cut)) == 12 and max(map(len, cut)) < len(photographs[0])
    assert shortened_apart([], 18) == []


def test_names_are_broken_at_their_joints_and_never_within_a_number():
    assert wrapped("onoff, tol=1e-05, against=lg, floor=0.01", 14).split("\n") == ["onoff,", "tol=1e-05,", "against=lg,", "floor=0.01"]
    assert wrapped("efficientnet_lite0, _blocks.10", 13).split("\n") == ["efficientnet_", "lite0,", "_blocks.10"]
    assert wrapped("a b", 14) == "a b" and wrapped("", 14) == "" and wrapped("floor=0.012345", 9) == "floor=\n0.012345"
