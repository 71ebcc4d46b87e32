"""What the power and orthogonal iteration promises beyond the contract."""

import pytest
import torch

from eigexp.certificates import certify
from eigexp.errors import ConfigurationError
from eigexp.solvers.power import Power
from tests.solvers.spectra import PROBLEMS, Problem, linear, run


def test_one_product_a_vector_and_iteration():
    solver, A = Power(k=3, k_bottom=2, max_steps=4000), PROBLEMS["tall"].operator()
    state = solver.init(A, 0)
    while not solver.done(state):
        following = solver.step(A, state)
        spent = following.images[0].fisher_vector_products - state.images[0].fisher_vector_products
        assert spent == (3 if state.images[0].phase == "top" else 2)
        state = following


def test_the_smallest_eigenvalue_is_labelled_last():
    solver = Power(k=3, max_steps=4000)
    (pairs,) = solver.pairs(run(solver, PROBLEMS["tall"].operator()))
    assert pairs.eigenindex.tolist() == [0, 1, 2, 21, 22, 23]
    assert pairs.eigenvalues.tolist() == sorted(pairs.eigenvalues.tolist(), reverse=True)


@pytest.mark.parametrize(("k_top", "k_bottom"), [(24, 24), (20, 10), (0, 24), (24, 0)])
def test_ends_that_overlap_are_found_once(k_top, k_bottom):
    solver, problem = Power(k_top=k_top, k_bottom=k_bottom, max_steps=4000), PROBLEMS["tall"]
    (pairs,) = solver.pairs(run(solver, problem.operator()))
    assert pairs.eigenindex.tolist() == list(range(24))
    assert torch.allclose(pairs.eigenvalues, problem.truth[0], rtol=0, atol=3e-4)


def test_a_change_too_small_to_see_meets_its_own_criterion_and_no_other():
    slow = Problem(30, 30, ((1.0, 0.9999, *linear(28, 0.9, 0.5)),)).operator()
    solver = Power(stop="delta", stop_criterion=1e-3, tol=1e-8, max_steps=4000)
    state = run(solver, slow)
    (pairs,) = solver.pairs(state)
    assert state.images[0].steps < 100
    assert state.images[0].status == "converged"
    assert (pairs.evidence_top, pairs.evidence_bottom) == ("converged", "converged")
    assert not solver.stops_by_residuals
    (certified,) = certify(slow, [pairs], solver=solver, state=state)
    assert not certified.tolerances["met"]["tol"]
    assert not certified.verified


def test_a_criterion_that_the_budget_cuts_short_is_not_met():
    slow = Problem(30, 30, ((1.0, 0.9999, *linear(28, 0.9, 0.5)),)).operator()
    state = run(Power(stop="delta", stop_criterion=1e-14, tol=1e-8, max_steps=20), slow)
    assert state.images[0].status == "budget"


def test_stopped_by_change_is_converged_where_the_residuals_agree():
    solver, A = Power(stop="delta", stop_criterion=1e-12, max_steps=4000), PROBLEMS["tall"].operator()
    state = run(solver, A)
    (pairs,) = solver.pairs(state)
    assert state.images[0].status == "converged"
    assert (pairs.evidence_top, pairs.evidence_bottom) == ("converged", "converged")
    assert float(state.images[0].top_residuals) < 1e-5


def test_it_claims_no_more_than_converged_and_the_certificate_proves_a_zero():
    solver, A = Power(max_steps=4000), PROBLEMS["rank-deficient"].operator()
    state = run(solver, A)
    (pairs,) = solver.pairs(state)
    (certified,) = certify(A, [pairs], solver=solver, state=state)
    assert (pairs.evidence_top, pairs.evidence_bottom) == ("converged", "converged")
    assert certified.evidence == {"top": "converged", "bottom": "proven"}
    assert not certified.verified


def test_a_slow_top_leaves_the_bottom_half_of_the_budget():
    slow = Problem(30, 30, ((1.0, 0.99999, *linear(28, 0.9, 0.5)),)).operator()
    solver = Power(tol=1e-9, max_steps=41)
    (pairs,) = solver.pairs(run(solver, slow))
    assert pairs.eigenindex.tolist() == [0, 29]
    state = solver.init(slow, 0)
    phases = []
    while not solver.done(state):
        phases.append(state.images[0].phase)
        state = solver.step(slow, state)
    assert (phases.count("top"), phases.count("bottom")) == (21, 20)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stop": "never"}, r"solver\.stop=never .* residual or delta"),
        ({"stop_criterion": 0.0}, r"solver\.stop_criterion=0\.0 must be a positive"),
        ({"max_steps": 0}, r"solver\.max_steps=0 must be a positive"),
        ({"bottom_rtol": -1.0}, r"solver\.bottom_rtol=-1\.0 must be a positive"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Power(**settings)
