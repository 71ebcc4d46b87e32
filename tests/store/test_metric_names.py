import math

import pytest

from eigexp.store.identity import identity_words
from eigexp.store.metric_names import d_bounds, metric_name, pair_metrics, row_metrics, summary_metrics


def test_pairs_are_named_from_their_own_end():
    names = [metric_name(index, 6400, "eigenvalue") for index in (0, 2, 6397, 6399)]
    assert names == ["top/1/eigenvalue", "top/3/eigenvalue", "bottom/3/eigenvalue", "bottom/1/eigenvalue"]
    assert metric_name(0, 1, "residual") == "top/1/residual"
    assert pair_metrics([0, 9], 10, eigenvalue=[4.0, math.nan], residual=[None, 0.5]) == {"top/1/eigenvalue": 4.0, "bottom/1/residual": 0.5}


def test_a_row_of_curves_keeps_step_and_products_and_leaves_out_what_is_no_number():
    row = {"step": 3, "fisher_vector_products": 7.0, "seconds": 1.0, "phase": "x", "eigenvalue/0": 2.0, "residual/9": math.nan}
    assert row_metrics(row, 10) == {"solver/step": 3, "solver/fisher_vector_products": 7.0, "top/1/eigenvalue": 2.0}


def test_the_summary_gives_bounds_where_only_bounds_are_known():
    found = summary_metrics([0, 9], [4.0, 1e-18], [(3.9, 4.1), (0.0, 1e-6)], 10, verified=True)
    assert found == {
        "lambda_max": 4.0,
        "lambda_min_bound": 1e-6,
        "D_lower": pytest.approx(0.5 * math.log(3.9e6)),
        "threshold_top": 0.5,
        "verified": 1.0,
    }
    assert summary_metrics([0], [4.0], [(3.9, 4.1)], 10, verified=False) == {"lambda_max": 4.0, "threshold_top": 0.5, "verified": 0.0}
    assert summary_metrics([0, 9], [None, None], [(None, None), (None, None)], 10, verified=False) == {"verified": 0.0}


def test_bounds_of_d():
    assert d_bounds((3.9, 4.1), (0.9, 1.1)) == pytest.approx((0.5 * math.log(3.9 / 1.1), 0.5 * math.log(4.1 / 0.9)))
    assert d_bounds((3.9, 4.1), (0.0, 1.1)) == (pytest.approx(0.5 * math.log(3.9 / 1.1)), None)
    assert d_bounds((0.5, 4.1), (0.0, 1.1)) == (0.0, None)
    assert d_bounds((3.9, 4.1), (0.0, 0.0)) == (math.inf, None)
    assert d_bounds((0.0, 4.1), (0.0, 1.0)) == (None, None)


def test_words_of_an_identity_are_what_is_not_usual():
    usual = {
        "model": {"name": "ln"},
        "noise": {"name": "gaussian"},
        "subspace": None,
        "solver": {"name": "krylov"},
        "shape": [1, 32, 48],
        "seed": 0,
        "dtype": "float32",
    }
    assert identity_words(usual) == "32x48"
    other = {**usual, "noise": {"name": "poisson", "gain": 2}, "subspace": {"name": "mask", "file": "ab" * 32}, "seed": 3}
    assert identity_words(other) == "32x48 noise=poisson gain=2 subspace=mask file=abababab seed=3"
    assert identity_words({**usual, "solver": {"name": "power", "k": 3}, "dtype": "float64"}) == "32x48 solver=power k=3 dtype=float64"
