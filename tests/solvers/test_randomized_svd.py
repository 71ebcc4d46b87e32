"""What the randomised SVD promises beyond the contract."""

import math

import pytest

from eigexp.certificates import certify
from eigexp.errors import ConfigurationError
from eigexp.solvers.randomized_svd import RandomizedSVD
from tests.solvers.spectra import PROBLEMS, Problem, linear, run

DECAYING = Problem(60, 50, (tuple(0.1**i for i in range(50)),))


def test_a_decaying_spectrum_converges_in_the_default_passes():
    solver, A = RandomizedSVD(k=3), DECAYING.operator()
    state = run(solver, A)
    (pairs,) = solver.pairs(state)
    assert state.images[0].status == "converged"
    assert (pairs.evidence_top, pairs.evidence_bottom) == ("converged", None)
    assert pairs.eigenvalues.tolist() == pytest.approx([1.0, 0.1, 0.01], abs=1e-8)


def test_a_flat_one_does_not_and_says_so():
    solver, A = RandomizedSVD(k=3), Problem(60, 50, (linear(50, 1.0, 0.5),)).operator()
    state = run(solver, A)
    (pairs,) = solver.pairs(state)
    (certified,) = certify(A, [pairs], solver=solver, state=state)
    assert state.images[0].status == certified.status == "budget"
    assert pairs.evidence_top == "budget"
    assert float(certified.residuals.max()) > 1e-4
    assert state.images[0].residuals.tolist() == pytest.approx(certified.residuals.tolist(), rel=1e-6)


@pytest.mark.parametrize("q", [0, 2, 5])
def test_products_and_steps(q):
    state = run(RandomizedSVD(k=3, p=4, q=q), DECAYING.operator())
    assert state.images[0].steps == q + 3
    assert state.images[0].fisher_vector_products == 7 * (q + 2) + 20


def test_more_passes_reach_a_smaller_residual():
    A = Problem(60, 50, (linear(50, 1.0, 0.1),)).operator()
    residuals = [float(run(RandomizedSVD(q=q), A).images[0].residuals) for q in (0, 4, 16)]
    assert residuals == sorted(residuals, reverse=True)


def test_the_error_of_the_range_is_estimated_at_the_end():
    solver, A = RandomizedSVD(k=2, p=3), PROBLEMS["three images"].operator()
    assert all(math.isnan(error) for error in solver.range_error(solver.init(A, 0)))
    errors = solver.range_error(run(solver, A))
    for error, truth in zip(errors, PROBLEMS["three images"].truth, strict=True):
        best = float(truth[5:].square().sum().sqrt())  # what the best range of 5 vectors leaves, in root mean square
        assert 0.7 * best < error < 2 * best
    assert solver.range_error(run(RandomizedSVD(k=24), PROBLEMS["tall"].operator())) == pytest.approx([0.0], abs=1e-12)


@pytest.mark.parametrize("setting", ["p", "q"])
def test_settings_that_cannot_work_are_refused(setting):
    with pytest.raises(ConfigurationError, match=rf"solver\.{setting}=-1 must not be negative"):
        RandomizedSVD(**{setting: -1})
