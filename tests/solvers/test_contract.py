"""What every solver promises, over one table of solver x problem."""

from functools import cache
from itertools import pairwise

import pytest
import torch

from eigexp.certificates import certify
from eigexp.errors import ConfigurationError, OperatorError
from eigexp.linalg.rayleigh_ritz import wanted_indices
from eigexp.operators import CountedOperator, DenseOperator
from eigexp.solvers.davidson import Davidson
from eigexp.solvers.exact import Exact
from eigexp.solvers.krylov import Krylov
from eigexp.solvers.power import Power
from eigexp.solvers.randomized_svd import RandomizedSVD
from eigexp.solvers.sparse import Sparse
from tests.solvers.spectra import PROBLEMS, copied, differences, run, through_disk

SOLVERS = {
    "krylov": lambda k=1, **settings: Krylov(k=k, **settings),
    "power": lambda k=1, **settings: Power(k=k, max_steps=4000, **settings),
    "exact": lambda k=1, **settings: Exact(k=k, chunk=5, **settings),
    "randomized_svd": lambda k=1, **settings: RandomizedSVD(k=k, q=300, **settings),
    "sparse": lambda k=1, **settings: Sparse(k=k, chunk=3, **settings),
    "davidson": lambda k=1, **settings: Davidson(k=k, **settings),
}
DTYPES = [torch.float32, torch.float64]


def precision(name: str) -> torch.dtype:
    return torch.float64 if name == "sparse" else torch.float32


each_solver = pytest.mark.parametrize("name", SOLVERS)
each_dtype = pytest.mark.parametrize(
    ("name", "dtype"), [(name, dtype) for name in SOLVERS for dtype in DTYPES if name != "sparse" or dtype == torch.float64], ids=str
)
each_problem = pytest.mark.parametrize("problem", PROBLEMS)


def expected_index(name: str, n: int, k: int) -> list[int]:
    return wanted_indices(n, k, 0 if name == "randomized_svd" else k).tolist()


@cache
def solved(name, problem, dtype, k, seed=0):
    """Return operator, solver and last state, which several tests look at."""
    A, solver = PROBLEMS[problem].operator(dtype), SOLVERS[name](k)
    return A, solver, run(solver, A, seed)


@each_dtype
@each_problem
@pytest.mark.parametrize("k", [1, 3, 10])
def test_values_and_labels_agree_with_the_known_spectrum(name, problem, dtype, k):
    k = min(k, PROBLEMS[problem].n)
    _, solver, state = solved(name, problem, dtype, k)
    problem = PROBLEMS[problem]
    for truth, pairs, image in zip(problem.truth, solver.pairs(state), state.images, strict=True):
        assert image.status == "converged"
        assert pairs.eigenindex.tolist() == expected_index(name, problem.n, k)
        assert float((pairs.eigenvalues - truth[pairs.eigenindex]).abs().max()) <= 1e-4 * float(truth[0])
        gram = pairs.vectors.double() @ pairs.vectors.double().T
        assert torch.allclose(gram.diagonal(), torch.ones_like(gram.diagonal()), atol=1e-5)
        assert pairs.vectors.dtype == dtype


@each_dtype
@each_problem
def test_own_residuals_equal_fresh_ones(name, problem, dtype):
    A, solver, state = solved(name, problem, dtype, min(3, PROBLEMS[problem].n))
    problem = PROBLEMS[problem]
    for truth, own, certified in zip(
        problem.truth, solver.progress(state), certify(A, solver.pairs(state), solver=solver, state=state), strict=True
    ):
        rounding = 50 * torch.finfo(dtype).eps * float(truth[0])
        assert own.eigenindex == tuple(certified.eigenindex.tolist())
        # Values that agree to the solver's rounding may change places in float64, and their residuals with them.
        own_residuals, fresh_residuals = torch.tensor(own.residuals, dtype=torch.float64).sort(), certified.residuals.sort()
        assert torch.allclose(own_residuals.values, fresh_residuals.values, rtol=1e-3, atol=rounding)
        assert torch.allclose(torch.tensor(own.eigenvalues, dtype=torch.float64), certified.eigenvalues, rtol=0, atol=rounding)
        assert certified.tolerances["met"]["tol"]


def trajectory(solver, A, at_most=40):
    states = [solver.init(A, 3)]
    while not solver.done(states[-1]) and len(states) <= at_most:
        states.append(solver.step(A, states[-1]))
    return states


@each_solver
@pytest.mark.parametrize("problem", ["tall", "wide", "repeated top", "one coordinate", "three images"])
def test_a_step_leaves_its_argument_alone_and_repeats_itself(name, problem):
    A, solver = PROBLEMS[problem].operator(precision(name)), SOLVERS[name](min(2, PROBLEMS[problem].n))
    for state in trajectory(solver, A)[:-1]:
        before = copied(state.to_dict())
        first = copied(solver.step(A, state).to_dict())
        second = solver.step(A, state).to_dict()
        assert differences(state.to_dict(), before) == []
        assert differences(first, second) == []


@each_solver
@pytest.mark.parametrize("problem", ["tall", "wide", "repeated top", "one coordinate", "three images"])
def test_resumed_from_disk_equals_uninterrupted_bit_for_bit_from_every_step(name, problem):
    A, solver = PROBLEMS[problem].operator(precision(name)), SOLVERS[name](min(2, PROBLEMS[problem].n))
    states = trajectory(solver, A)
    for state, following in pairwise(states):
        assert differences(solver.step(A, through_disk(solver, state)).to_dict(), following.to_dict()) == []


@each_solver
@pytest.mark.parametrize("start", [0, 1, 3])
def test_a_whole_run_resumed_from_disk_equals_uninterrupted(name, start):
    A, solver, uninterrupted = solved(name, "three images", precision(name), 2, seed=3)
    state = through_disk(solver, trajectory(solver, A)[start])
    while not solver.done(state):
        state = solver.step(A, state)
    assert differences(state.to_dict(), uninterrupted.to_dict()) == []
    assert differences(through_disk(solver, state).to_dict(), uninterrupted.to_dict()) == []


@each_solver
@each_problem
def test_products_are_counted_image_by_image(name, problem):
    problem = PROBLEMS[problem]
    A, solver = CountedOperator(problem.operator(precision(name))), SOLVERS[name](min(2, problem.n))
    state = run(solver, A)
    assert [image.fisher_vector_products for image in state.images] == A.fisher_vector_products.tolist()
    assert [p.fisher_vector_products for p in solver.progress(state)] == A.fisher_vector_products.tolist()


@each_solver
def test_a_batch_gives_what_single_runs_give(name):
    A, solver = PROBLEMS["three images"].operator(), SOLVERS[name](2)
    together = solver.pairs(run(solver, A))
    for i, pairs in enumerate(together):
        (alone,) = solver.pairs(run(solver, A.select([i])))
        assert alone.eigenindex.tolist() == pairs.eigenindex.tolist()
        assert torch.allclose(alone.eigenvalues, pairs.eigenvalues, rtol=0, atol=1e-6)
        signs = (alone.vectors * pairs.vectors).sum(dim=1, keepdim=True).sign()  # a vector's sign is arbitrary until it is certified
        assert torch.allclose(signs * alone.vectors, pairs.vectors, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["krylov", "power"])
def test_images_that_finish_leave_the_batch(name):
    A, solver = CountedOperator(PROBLEMS["three images"].operator()), SOLVERS[name](1)
    state = run(solver, A)
    assert len({image.steps for image in state.images}) > 1
    assert len(set(A.forward_products.tolist())) > 1


@each_solver
def test_progress_is_plain_and_ends_with_the_pairs(name):
    A, solver = PROBLEMS["tall"].operator(), SOLVERS[name](2)
    states = trajectory(solver, A, at_most=4000)
    for steps, state in enumerate(states):
        (p,) = solver.progress(state)
        assert p.steps == steps
        assert p.done == solver.done(state) == (p.status != "running")
        assert all(type(x) is float for x in (*p.eigenvalues, *p.residuals, p.largest, p.tolerance, p.fisher_vector_products))
        assert len(p.eigenindex) == len(p.eigenvalues) == len(p.residuals)
    (last,) = solver.progress(states[-1])
    (pairs,) = solver.pairs(states[-1])
    assert last.eigenvalues == tuple(pairs.eigenvalues.tolist())
    assert last.largest == max(last.eigenvalues)


@pytest.mark.parametrize("name", ["exact", "randomized_svd"])
def test_the_fraction_grows_to_one(name):
    A, solver = PROBLEMS["tall"].operator(), SOLVERS[name](2)
    fractions = [solver.progress(state)[0].fraction for state in trajectory(solver, A, at_most=400)]
    assert fractions[0] == 0.0
    assert fractions[-1] == 1.0
    assert fractions == sorted(set(fractions))


@each_solver
def test_a_seed_is_a_generator_and_the_generator_is_not_advanced(name):
    A, solver = PROBLEMS["tall"].operator(), SOLVERS[name](1)
    generator = torch.Generator().manual_seed(5)
    before = generator.get_state()
    from_generator = solver.init(A, generator).to_dict()
    assert torch.equal(generator.get_state(), before)
    assert differences(from_generator, solver.init(A, 5).to_dict()) == []
    if name != "exact":
        assert differences(from_generator, solver.init(A, 6).to_dict()) != []


@each_solver
def test_pairs_before_the_first_product_are_none_or_budget(name):
    A, solver = PROBLEMS["tall"].operator(), SOLVERS[name](1)
    state = solver.init(A, 0)
    (pairs,) = solver.pairs(state)
    assert len(pairs.eigenindex) == len(pairs.vectors) == 0
    (certified,) = certify(A, [pairs], solver=solver, state=state)
    assert certified.status == "budget"
    assert not certified.verified


@each_solver
def test_more_pairs_than_eigenvalues_are_refused(name):
    with pytest.raises(ConfigurationError, match=r"solver\.k=25 is more than the n=24"):
        SOLVERS[name](25).init(PROBLEMS["tall"].operator(), 0)


@each_solver
@pytest.mark.parametrize("k", [-1, 0])
def test_a_number_of_pairs_below_one_is_refused(name, k):
    with pytest.raises(ConfigurationError, match=rf"solver\.k={k} "):
        SOLVERS[name](k)


@each_solver
@pytest.mark.parametrize("tol", [0.0, -1e-3, float("nan")])
def test_a_tolerance_that_is_not_positive_is_refused(name, tol):
    with pytest.raises(ConfigurationError, match=rf"solver\.tol={tol} "):
        SOLVERS[name](tol=tol)


@each_solver
def test_a_tolerance_below_the_precision_is_refused(name):
    with pytest.raises(ConfigurationError, match=r"solver\.tol=1e-09 .*float32.*dtype=float64"):
        SOLVERS[name](tol=1e-9).init(PROBLEMS["tall"].operator(torch.float32), 0)
    SOLVERS[name](tol=1e-9).init(PROBLEMS["tall"].operator(torch.float64), 0)


@pytest.mark.parametrize("solver", [Krylov, Power, Davidson])
def test_ends_can_be_asked_alone(solver):
    problem = PROBLEMS["tall"]
    for k_top, k_bottom in ((2, 0), (0, 2), (1, 3)):
        settings = solver(k_top=k_top, k_bottom=k_bottom, max_steps=4000)
        (pairs,) = settings.pairs(run(settings, problem.operator()))
        assert pairs.eigenindex.tolist() == wanted_indices(24, k_top, k_bottom).tolist()
        assert torch.allclose(pairs.eigenvalues, problem.truth[0][pairs.eigenindex], atol=3e-4)
        assert (pairs.evidence_top is None) == (k_top == 0)
        assert (pairs.evidence_bottom is None) == (k_bottom == 0)
    with pytest.raises(ConfigurationError, match="request no eigenpairs"):
        solver(k_top=0, k_bottom=0)


@pytest.mark.parametrize("solver", [Krylov, Power, Davidson])
def test_a_relative_tolerance_of_the_bottom_is_met(solver):
    problem = PROBLEMS["tall"]
    settings = solver(bottom_rtol=1e-5, max_steps=20000)
    A = problem.operator()
    state = run(settings, A)
    (certified,) = certify(A, settings.pairs(state), solver=settings, state=state)
    assert certified.tolerances["met"] == {"tol": True, "bottom_rtol": True}
    assert float(certified.residuals[-1]) <= 1.01e-5 * float(certified.eigenvalues[-1])


@pytest.mark.parametrize("solver", [Krylov, Power, Davidson])
def test_a_spent_budget_is_a_status(solver):
    settings = solver(k=2, max_steps=8)
    A = PROBLEMS["tall"].operator()
    state = run(settings, A)
    assert state.images[0].steps == 8
    assert state.images[0].status == "budget"
    (certified,) = certify(A, settings.pairs(state), solver=settings, state=state)
    assert certified.status == "budget"
    assert "budget" in certified.evidence.values()
    assert float(certified.residuals.max()) > 1e-4 * 3.0


@pytest.mark.parametrize("name", ["krylov", "power", "randomized_svd"])
def test_an_overflow_is_named(name):
    A, solver = DenseOperator(1e20 * PROBLEMS["tall"].operator(torch.float64).matrix.float()), SOLVERS[name](1)
    with pytest.raises(OperatorError, match=r"^overflow: .* float32 .* Set dtype=float64, or scale the responses down\.$"):
        run(solver, A)
