"""Certificates against dense float64 truth, and against solvers that claim too much."""

import math
from dataclasses import replace

import pytest
import torch

from eigexp.certificates import certify
from eigexp.operators import DenseOperator, dense_matrix, linearise
from eigexp.pairs import NumericallyZero, RitzPairs
from eigexp.solvers.krylov import Krylov
from eigexp.solvers.power import Power
from tests.solvers.photographs import FRONT_ENDS, coins

EPS = torch.finfo(torch.float64).eps


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


@pytest.mark.parametrize(
    "name, side",
    [
        ("onoff", 40),
        ("ln", 40),
        ("lgg", 40),
        pytest.param("onoff", 64, marks=pytest.mark.slow),
        pytest.param("lgg", 64, marks=pytest.mark.slow),
    ],
)
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
    assert pairs.evidence == {"top": "unconfirmed", "bottom": "unconfirmed"}
    assert not pairs.verified and pairs.status == "unconfirmed" and not pairs.tolerances["met"]["tol"]
    assert any(note.startswith("fresh products give residuals") for note in pairs.notes)
    F = matrix[0].T @ matrix[0]
    values = ((wrong @ F) * wrong).sum(1)
    residuals, order = (wrong @ F - values[:, None] * wrong).norm(dim=1), values.argsort(descending=True)
    assert torch.allclose(pairs.eigenvalues, values[order], rtol=1e-12)
    assert torch.allclose(pairs.residuals, residuals[order], rtol=1e-12)


# ---------------------------------------------------------------- claims about a diagonal map, whose eigenpairs are known


def diagonal(*eigenvalues):
    return DenseOperator(torch.tensor(eigenvalues, dtype=torch.float64).sqrt().diag()[None])


def unit(n, *entries):
    """A unit vector with some entries, given as (position, value)."""
    v = torch.zeros(n, dtype=torch.float64)
    for position, value in entries:
        v[position] = value
    return v / v.norm()


def judged(A, index, vectors, *, top="krylov", bottom="krylov", tol=1e-4, precision="float64", **more):
    """What becomes of a claim that is put together by hand."""
    solver, vectors = Krylov(tol=tol), torch.stack(vectors).to(A.dtype)
    values = A.apply(vectors[None])[0].double().square().sum(1)
    claim = RitzPairs(torch.tensor(index), values.cpu(), vectors, top, bottom, **more)
    (pairs,) = certify(A, [claim], solver=solver, state=solver.init(A, 0), precision=precision)
    return pairs


LADDER = (1.0, 0.8, 0.6, 0.4, 0.2, 0.1)


def test_evidence_needs_every_pair_of_an_end():
    A, off = diagonal(*LADDER), 0.1
    pairs = judged(A, [0, 1, 5], [unit(6, (0, 1)), unit(6, (1, 1), (3, off)), unit(6, (5, 1))])
    assert pairs.evidence == {"top": "unconfirmed", "bottom": "krylov"}
    pairs = judged(A, [0, 4, 5], [unit(6, (0, 1)), unit(6, (4, 1), (2, off)), unit(6, (5, 1))])
    assert pairs.evidence == {"top": "krylov", "bottom": "unconfirmed"}
    assert not pairs.verified


@pytest.mark.parametrize("roundings, evidence", [(2, "converged"), (8, "proven")])
def test_a_proof_allows_for_rounding(roundings, evidence):
    """The value is below the tolerance, by less than the rounding of its products or by more."""
    A = diagonal(1.0, 0.5, 1e-4 - roundings * EPS)
    assert judged(A, [0, 2], [unit(3, (0, 1)), unit(3, (2, 1))], bottom="converged").evidence["bottom"] == evidence


def test_a_proof_that_does_not_survive_is_no_proof():
    A, vectors = diagonal(*LADDER), [unit(6, (0, 1)), unit(6, (5, 1))]
    assert judged(A, [0, 5], vectors, bottom="proven").evidence["bottom"] == "converged"
    assert judged(A, [0, 5], vectors, top="proven", bottom="proven").evidence["bottom"] == "proven"  # it rests on the whole spectrum


def test_margins_of_the_solver_widen_the_outer_side():
    A, vectors = diagonal(*LADDER), [unit(6, (0, 1)), unit(6, (5, 1))]
    plain, wide = judged(A, [0, 5], vectors), judged(A, [0, 5], vectors, top_margin=0.07, bottom_margin=0.03)
    assert torch.allclose(plain.intervals, torch.tensor([[1.0, 1.0], [0.1, 0.1]], dtype=torch.float64), atol=1e-14)
    assert torch.allclose(wide.intervals, torch.tensor([[1.0, 1.07], [0.07, 0.1]], dtype=torch.float64), atol=1e-14)


def test_intervals_of_an_end_that_is_not_verified_are_wide_on_both_sides():
    A, vectors = diagonal(*LADDER), [unit(6, (0, 1), (1, 1e-4)), unit(6, (5, 1), (4, 1e-4))]
    good, poor = judged(A, [0, 5], vectors), judged(A, [0, 5], vectors, top="converged", bottom="converged")
    inner = [[0, 0], [1, 1]]  # the largest from below, the smallest from above
    for pairs, factor in ((good, 0), (poor, 1)):
        for row, column in inner:
            width = abs(pairs.intervals[row, column] - pairs.eigenvalues[row])
            assert width == pytest.approx(factor * float(pairs.residuals[row]), abs=1e-14)
            assert abs(pairs.intervals[row, 1 - column] - pairs.eigenvalues[row]) == pytest.approx(float(pairs.residuals[row]), abs=1e-14)


def test_rayleigh_quotients_of_several_vectors_bound_no_more_than_their_span_does():
    """Two vectors half-way between the first two eigenvectors: both quotients are 0.9, and the second eigenvalue is 0.8."""
    A = diagonal(*LADDER)
    pairs = judged(A, [0, 1, 5], [unit(6, (0, 1), (1, 1)), unit(6, (0, 1), (1, -1)), unit(6, (5, 1))], tol=0.5)
    assert torch.allclose(pairs.eigenvalues[:2], torch.tensor([0.9, 0.9], dtype=torch.float64))
    assert (pairs.intervals[:2, 0] <= torch.tensor([1.0, 0.8], dtype=torch.float64)).all()
    assert pairs.intervals[0, 1] >= 1.0


def test_overlapping_pairs_have_an_eigenvalue_each_within_their_joint_residual():
    """Residuals of each alone could mean one eigenvalue twice: both vectors lean towards the same third direction."""
    A, t = diagonal(1.0, 1.0, 0.5, 0.1), 1e-3
    vectors = [unit(4, (0, 1), (2, t)), unit(4, (1, 1), (2, t)), unit(4, (3, 1))]
    pairs = judged(A, [0, 1, 3], vectors, tol=0.1)
    joint = math.sqrt(2) * float(pairs.residuals[0])
    assert (pairs.intervals[:2, 1] - pairs.eigenvalues[:2]).tolist() == pytest.approx([joint, joint], rel=1e-3)


def test_a_vector_twice_is_no_second_pair():
    pairs = judged(diagonal(*LADDER), [0, 1, 5], [unit(6, (0, 1)), unit(6, (0, 1), (1, 1e-9)), unit(6, (5, 1))])
    assert pairs.evidence["top"] == "unconfirmed"
    assert not pairs.verified


@pytest.mark.parametrize("share, limit", [(0.5, 2.5), (1.0, 3.0), (2.0, 5.0)])
def test_neighbours_are_one_cluster_up_to_twice_a_residual(share, limit):
    """The gap less the other's residual is compared with twice one's own; the neighbour's residual is a share of the printed one's."""
    A, vectors = diagonal(*LADDER), [unit(6, (0, 1), (2, 1e-3)), unit(6, (5, 1))]
    alone = judged(A, [0, 5], vectors)
    value, r = float(alone.eigenvalues[0]), float(alone.residuals[0])
    for gap, clusters in (((limit - 0.1) * r, ((0, 1),)), ((limit + 0.1) * r, ())):
        pairs = judged(A, [0, 5], vectors, tol=0.01, next_top=(value - gap, share * r))
        assert pairs.clusters == clusters
        assert len(pairs.notes) == len(clusters)


def test_a_neighbour_that_is_not_printed_makes_a_vector_not_unique():
    A, vectors = diagonal(1.0, 1.0, 0.6, 0.4, 0.1, 0.1), [unit(6, (0, 1)), unit(6, (5, 1))]
    pairs = judged(A, [0, 5], vectors, next_top=(1.0, 1e-9), next_bottom=(0.1, 1e-9))
    assert pairs.clusters == ((0, 1), (4, 5))
    assert pairs.notes == (
        "the most noticeable distortion is not unique: eigenvalues 0 and 1 cannot be distinguished, "
        "and linear combinations of their distortions are equally valid",
        "the least noticeable distortion is not unique: eigenvalues 4 and 5 cannot be distinguished, "
        "and linear combinations of their distortions are equally valid",
    )
    apart = judged(A, [0, 5], vectors, next_top=(0.6, 1e-9), next_bottom=(0.4, 1e-9))
    assert apart.clusters == () and apart.notes == ()


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


def test_shapes_alone_prove_zero_eigenvalues():
    A = DenseOperator(torch.eye(3, 6, dtype=torch.float64)[None] * torch.tensor([1.0, 0.8, 0.6], dtype=torch.float64)[:, None])
    pairs = judged(A, [0, 5], [unit(6, (0, 1)), unit(6, (5, 1))])
    assert pairs.null_space.dimension_at_least == 3
    assert pairs.notes == ("the least noticeable distortion is not unique: at least 3 eigenvalues are exactly zero (m=3 < n=6)",)


def test_small_eigenvalues_are_not_called_zero():
    A = diagonal(1.0, 0.5, *[1e-13] * 10)
    pairs = judged(A, [0, 10, 11], [unit(12, (0, 1)), unit(12, (10, 1)), unit(12, (11, 1))])
    assert pairs.null_space.dimension_at_least == 0
    assert pairs.null_space.numerically_zero == NumericallyZero(count=2, below=1e-12)


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
    assert single.status == "unconfirmed"
    (note,) = single.notes
    assert note.startswith("bottom_rtol=0.01 of a bottom value of 3.2e-07 is less than the rounding of float32 products")
    assert note.endswith("Set dtype=float64.")
    assert double.status == "converged"
    assert double.notes == ()


def test_a_solver_that_met_its_own_criterion_has_converged_and_says_how_well():
    A = DenseOperator(random_map(40, 24, torch.logspace(0, -2, 24).tolist(), seed=0))
    (loose,) = certified(A, Power(stop="delta", stop_criterion=1e-3, tol=1e-8))
    assert (loose.status, loose.evidence["top"], loose.verified) == ("converged", "converged", False)
    assert loose.tolerances["met"]["tol"] is False
    assert any("its own criterion" in note for note in loose.notes)
    (spent,) = certified(A, Power(stop="delta", stop_criterion=1e-12, max_steps=6))
    assert spent.status == "budget"
