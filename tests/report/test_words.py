"""Numbers, ranks, evidence and times as they are said to people."""

import math

import pytest

from eigexp.report.words import (
    clipping_words,
    d_cell,
    d_words,
    duration,
    eigenvalue_cell,
    eigenvalue_words,
    evidence_words,
    layer_words,
    number,
    rank_label,
    rank_name,
    shortened,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12.345, "12.3"), (0.0, "0"), (1e-4, "1×10⁻⁴"), (7.7719e-6, "7.77×10⁻⁶"), (65536.0, "65,536"), (1.5e7, "1.5×10⁷"),
        (-2e-5, "-2×10⁻⁵"),
        (999.9, "1,000"), (0.00144, "0.00144"), (None, "–"), (math.nan, "–"), (math.inf, "∞"), (-math.inf, "−∞"),
    ],
)  # fmt: skip
def test_numbers(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("bounds", "text"),
    [((5.6, 5.9), "5.76 [5.6, 5.9]"), ((5.7, math.inf), "5.76, at least 5.7"), ((5.7561, 5.7564), "5.76"), (None, "5.76")],
)
def test_d_says_what_its_intervals_leave_open(bounds, text):
    assert d_words(5.756, bounds) == text


def test_d_and_eigenvalues_in_tables():
    assert [d_cell(5.756, (5.7, 5.8)), d_cell(5.756, (5.7, math.inf)), d_cell(None, (5.7, math.inf)), d_cell(None, None)] == [
        "5.76", "≥ 5.7", "≥ 5.7", "–",
    ]  # fmt: skip
    assert d_words(None, (5.7, math.inf)) == "at least 5.7"
    assert [eigenvalue_cell(0.5, 0.4, 0.6), eigenvalue_cell(1e-9, 0.0, 0.25), eigenvalue_cell(None, 0.0, 1.0)] == ["0.5", "≤ 0.25", "–"]


@pytest.mark.parametrize(("share", "text"), [(0.0, "nothing clipped"), (1.0, "100 % clipped"), (0.00044, "0.044 % clipped")])
def test_clipping(share, text):
    assert clipping_words(share) == text
    assert clipping_words(0.5, "values") == "50 % of values clipped"


def test_ranks():
    assert [rank_name(rank, 100) for rank in (0, 3, 99)] == ["most noticeable", "rank 3", "least noticeable"]
    assert [rank_label(rank, 100) for rank in (0, 3, 98, 99)] == ["0", "3", "n−2", "n−1"]


def test_zero_is_called_a_null_space():
    assert eigenvalue_words(0.0, 10.0) == "λ = 0 (null space)"
    assert eigenvalue_words(-1e-15, 10.0) == "λ = 0 (null space)"
    assert eigenvalue_words(1e-4, 10.0) == "λ = 1×10⁻⁴"


def test_evidence_and_layers():
    record = {"evidence": {"top": "krylov", "bottom": None}, "layer": ["a", "b"]}
    assert [evidence_words(record, end) for end in ("top", "bottom")] == ["Krylov evidence", "not asked"]
    assert [layer_words({}), layer_words({"layer": "x"}), layer_words(record)] == ["output", "x", "a, b"]


@pytest.mark.parametrize(("seconds", "text"), [(0.44, "0.4 s"), (12.4, "12 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (None, "–")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_long_names_lose_their_middle():
    assert shortened("a" * 30 + "b" * 30, 11) == "aaaaa…bbbbb"
    assert shortened("short") == "short"
