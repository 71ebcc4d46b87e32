"""Labels for people: no number is printed that its interval does not hold."""

import math
import random
import re

import pytest

from eigexp.store.labels import (
    distortion_name,
    duration,
    eigenindex_label,
    eigenvalue_text,
    layer_label,
    number,
    pair_text,
    quantity_text,
    threshold_text,
)

NAN = math.nan


@pytest.mark.parametrize(
    ("value", "interval", "short", "long"),
    [
        (12.3456, (12.344, 12.352), "12.35", "12.35 [12.344, 12.352]"),
        (12.3456, (12.0, 12.7), "12", "12 [12, 12.7]"),
        (1.8e-4, (1.5e-4, 2.3e-4), "[0.00015, 0.00023]", "[0.00015, 0.00023]"),
        (0.021, (0.0, 0.4481), "<= 0.449", "<= 0.449"),
        (-5.3e-15, (0.0, 9e-10), "<= 9e-10", "<= 9e-10"),
        (9.9e-17, (0.0, 9e-10), "<= 9e-10", "<= 9e-10"),
        (0.0, (0.0, 0.0), "0", "0"),
        (1.0, (0.5, None), ">= 0.5", ">= 0.5"),
        (3.0, (1.0, 2.0), "[1, 2]", "[1, 2]"),
        (None, (1.0, 2.0), "[1, 2]", "[1, 2]"),
        (NAN, (NAN, math.inf), "-", "-"),
        (5.0, None, "5", "5"),
    ],
)
def test_an_eigenvalue_is_a_value_a_bound_or_an_interval(value, interval, short, long):
    assert eigenvalue_text(value, interval) == short
    assert eigenvalue_text(value, interval, form="long") == long


@pytest.mark.parametrize("evidence", ["converged", "budget", None])
def test_what_is_not_verified_says_so(evidence):
    assert eigenvalue_text(12.3456, (12.344, 12.352), evidence) == "12.35?"
    assert eigenvalue_text(0.02, (0.0, 0.448), evidence, form="long") == "<= 0.448, not verified"
    assert eigenvalue_text(None, (None, None), evidence, form="long") == "-"


def test_typeset_and_with_a_symbol():
    style = {"typeset": True, "symbol": "λ"}
    texts = [
        eigenvalue_text(v, i, **style)
        for v, i in ((12.35, (12.34, 12.36)), (0.0, (0.0, 2e-7)), (1.8e-4, (1.5e-4, 2.3e-4)), (None, (None, None)))
    ]
    assert texts == ["λ = 12.35", "λ ≤ 2×10⁻⁷", "λ in [1.5, 2.3]×10⁻⁴", "λ = –"]


def test_everything_printed_holds_for_every_truth_in_the_interval():
    draw = random.Random(0)
    for _ in range(2000):
        low = 10 ** draw.uniform(-12, 6)
        high = low * (1 + 10 ** draw.uniform(-12, 1))
        value, reaches_zero = draw.uniform(low, high), draw.random() < 0.3
        text = quantity_text(value, (0.0 if reaches_zero else low, high))
        printed = [float(word) for word in re.findall(r"[\d.]+(?:e[+-]\d+)?", text)]
        if text.startswith("<="):
            assert reaches_zero and printed[0] >= high * (1 - 1e-11)
        elif text.startswith("["):
            assert printed[0] <= low * (1 + 1e-11) and printed[1] >= high * (1 - 1e-11)
        else:
            mantissa = re.sub(r"e.*", "", text)
            digits = len(mantissa.replace(".", "").lstrip("0"))
            unit = 10.0 ** (math.floor(math.log10(printed[0])) - max(digits, 2) + 1)
            assert max(high - printed[0], printed[0] - low) <= unit * 1.001, (text, low, high)


@pytest.mark.parametrize(
    ("value", "interval", "text"),
    [
        (0.25, (0.2499, 0.2501), "2"),
        (1e-9, (0.0, 2.5e-6), ">= 632"),
        (1e-9, (0.0, None), "-"),
        (0.0, (0.0, 0.0), "-"),
        (1.0, (0.5, 2.0), "[0.707, 1.42]"),
    ],
)
def test_thresholds(value, interval, text):
    assert threshold_text(value, interval) == text


def test_a_pair_of_a_record_has_the_evidence_of_its_end():
    record = {"n": 100, "eigenindex": [0, 99], "eigenvalues": [2.0, 0.5], "intervals": [[2.0, 2.0], [0.5, 0.5]]}
    record["evidence"] = {"top": "krylov", "bottom": "budget"}
    assert [pair_text(record, i) for i in (0, 1)] == ["2", "0.5?"]


def test_layers():
    assert [layer_label(layer) for layer in (None, "layer1", ["a", "b"], [], "")] == ["output", "layer1", "a+b", "output", "output"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (9.96, "10 s"), (12.4, "12 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (None, "–")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_eigenindices():
    assert [distortion_name(index, 100) for index in (0, 3, 99)] == ["most noticeable", "eigenindex 3", "least noticeable"]
    assert [eigenindex_label(index, 100) for index in (0, 3, 98, 99)] == ["0", "3", "n−2", "n−1"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12.345, "12.3"), (0.0, "0"), (1e-4, "1×10⁻⁴"), (7.7719e-6, "7.77×10⁻⁶"), (65536.0, "65,536"), (1.5e7, "1.5×10⁷"),
        (-2e-5, "-2×10⁻⁵"), (999.9, "1,000"), (0.00144, "0.00144"), (None, "–"), (NAN, "–"), (math.inf, "∞"), (-math.inf, "−∞"),
    ],
)  # fmt: skip
def test_numbers(value, text):
    assert number(value) == text
