"""Certificates against dense float64 truth, and against solvers that claim too much."""

from dataclasses import replace

import pytest
import torch

from eigexp.certificates import certify
from eigexp.operators import DenseOperator, dense_matrix, linearise
from eigexp.pairs import RitzPairs
from eigexp.solvers.krylov import Krylov
from tests.solvers.photographs import FRONT_ENDS, coins


def solve(A, solver, seed=0):
    state = solver.init(A, seed)
    while not solver.done(state):
        state = solver.step(A, state)
    return state


def certified(A, solver, seed=0):
    state = solve(A, solver, seed)
    return certify(A, solver.pairs(state), solver=solver, state=state)


def random_map(m, n, values, seed):
    """A map (1, m, n), float64, whose F has the eigenvalues given, then zeros."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64)).Q for size in (m, n))
    s = torch.tensor(values, dtype=torch.float64).sqrt()
    return ((left[:, : len(s)] * s) @ right[: len(s)])[None]


def spectrum(matrix):
    return torch.linalg.eigvalsh(matrix[0].T @ matrix[0]).flip(0).clamp(min=0)


SHAPES = {"tall": (60, 40, 40), "wide": (30, 50, 30), "rank-deficient": (50, 50, 20)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_intervals_hold_the_truth_where_a_result_is_verified(kind, k, dtype, seed):
    m, n, rank = SHAPES[kind]
    matrix = random_map(m, n, torch.logspace(0, -3, rank).tolist(), seed)
    (pairs,) = certified(DenseOperator(matrix.to(dtype)), Krylov(k=k, tol=1e-5), seed)
    truth = spectrum(matrix.to(dtype).double())[pairs.eigenindex]  # of the map as it is given
    assert pairs.verified and pairs.status == "converged"
    assert (pairs.intervals[:, 0] <= truth).all() and (truth <= pairs.intervals[:, 1]).all()
    assert pairs.eigenindex.tolist() == [*range(k), *range(n - k, n)]
    assert pairs.null_space.dimension_at_least >= n - m


@pytest.mark.parametrize("name, side", [("onoff", 40), ("ln", 40), ("lgg", 40), ("onoff", 64), ("lgg", 64)])
def test_front_ends_against_float64_truth(name, side):
    image = coins(side)
    exact = dense_matrix(linearise(FRONT_ENDS[name]().double(), image.double(), method="double_backward"))[0]
    truth = torch.linalg.eigvalsh(exact.T @ exact).flip(0).clamp(min=0)
    (pairs,) = certified(linearise(FRONT_ENDS[name](), image, method="double_backward"), Krylov())
    assert pairs.verified
    assert (pairs.intervals[:, 0] <= truth[[0, -1]]).all() and (truth[[0, -1]] <= pairs.intervals[:, 1]).all()
    assert abs(pairs.eigenvalues[-1] - truth[-1]) <= 1e-5 * truth[0]
    assert abs(pairs.eigenvalues[0] - truth[0]) <= 1e-5 * truth[0]


def test_what_a_solver_claims_without_cause_is_not_believed():
    matrix = random_map(40, 40, torch.linspace(1, 0.5, 40).tolist(), 0)
    A, solver = DenseOperator(matrix), Krylov()
    state = solve(A, solver)
    wrong = torch.linalg.qr(torch.randn(40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).Q.T
    claim = RitzPairs(torch.tensor([0, 39]), torch.tensor([1.0, 0.5], dtype=torch.float64), wrong, "krylov", "proven")
    (pairs,) = certify(A, [claim], solver=solver, state=state)
    assert pairs.evidence == {"top": "budget", "bottom": "budget"}
    assert not pairs.verified and pairs.status == "budget" and not pairs.tolerances["met"]["tol"]
    assert pairs.notes
    fresh = torch.linalg.vector_norm(wrong @ matrix[0].T @ matrix[0] - pairs.eigenvalues.sort(descending=True).values[:, None] * 0, dim=1)
    assert (pairs.residuals > 1e-3 * fresh).all()


def test_a_small_bottom_is_proven_whatever_the_solver_knew():
    matrix = random_map(40, 40, [*torch.linspace(1, 0.5, 39).tolist(), 1e-7], 1)
    A, solver = DenseOperator(matrix), Krylov()
    state = solve(A, solver)
    (proposal,) = solver.pairs(state)
    (pairs,) = certify(A, [replace(proposal, evidence_bottom="converged")], solver=solver, state=state)
    assert pairs.evidence["bottom"] == "proven"
    assert pairs.intervals[-1, 0] == 0 and pairs.intervals[-1, 1] >= 1e-7


def test_neighbours_that_cannot_be_told_apart_are_one_cluster():
    values = [1.0, 1.0, 1.0, 0.5, *torch.linspace(0.4, 0.1, 36).tolist()]
    (pairs,) = certified(DenseOperator(random_map(40, 40, values, 2)), Krylov(k_top=4, k_bottom=1))
    assert pairs.clusters == ((0, 1, 2),)


def test_zero_eigenvalues_are_a_null_space():
    (pairs,) = certified(DenseOperator(random_map(30, 40, torch.linspace(1, 0.5, 30).tolist(), 3)), Krylov(k=2))
    assert pairs.null_space.dimension_at_least == 10
    assert pairs.null_space.dimension_estimate == pytest.approx(10, rel=0.8)
    assert (pairs.eigenvalues[2:] <= 1e-20).all()


def test_the_entry_of_largest_magnitude_is_positive_and_norms_are_one():
    image = coins(24)
    (pairs,) = certified(linearise(FRONT_ENDS["onoff"](), image), Krylov(k=2))
    flat = pairs.eigendistortions.flatten(1)
    assert pairs.eigendistortions.shape == (4, 1, 24, 24)
    assert (flat.gather(1, flat.abs().argmax(1, keepdim=True)) > 0).all()
    assert torch.allclose(flat.norm(dim=1), torch.ones(4), atol=1e-5)


def test_each_image_of_a_batch_has_its_own_certificate():
    matrices = torch.cat([random_map(40, 40, torch.linspace(top, 0.1, 40).tolist(), top) for top in (1, 2, 3)])
    together = certified(DenseOperator(matrices), Krylov())
    for matrix, pairs in zip(matrices, together, strict=True):
        (alone,) = certified(DenseOperator(matrix[None]), Krylov())
        assert torch.allclose(alone.eigenvalues, pairs.eigenvalues, rtol=1e-6)
        assert alone.fisher_vector_products == pairs.fisher_vector_products


@pytest.mark.parametrize("rtol", [0.05, 0.001])
def test_relative_accuracy_of_the_bottom_is_told_apart(rtol):
    values = [*torch.linspace(1, 0.1, 38).tolist(), 3e-3, 1e-3]
    matrix = random_map(40, 40, values, 4)
    (pairs,) = certified(DenseOperator(matrix), Krylov(bottom_rtol=rtol))
    assert pairs.tolerances["asked"]["bottom_rtol"] == rtol and pairs.tolerances["met"]["bottom_rtol"] is True
    assert abs(float(pairs.eigenvalues[-1]) - 1e-3) <= rtol * 1e-3
    assert pairs.intervals[-1, 0] > 0


def test_a_relative_tolerance_below_rounding_says_so():
    values = [1.0, *torch.linspace(0.5, 0.2, 37).tolist(), 1e-3, 3e-7]
    matrix = random_map(40, 40, values, 5)
    A, solver = DenseOperator(matrix), Krylov(bottom_rtol=1e-2)
    (single,), (double,) = certified(DenseOperator(matrix.float()), solver), certified(A, solver)
    assert single.status == "budget"
    (note,) = single.notes
    assert note.startswith("bottom_rtol=0.01 of a bottom value of 3.2e-07 is less than the rounding of float32 products")
    assert note.endswith("Set dtype=float64.")
    assert double.status == "converged"
    assert double.notes == ()
