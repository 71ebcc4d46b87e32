"""Nothing may be missed: repeated eigenvalues and dense ends, against the known spectrum.

A claim is what a pair's evidence says of it: proven and krylov claim that no eigenvalue was missed and that each lies in its interval.
"""

import pytest
import torch

from eigexp.certificates import certify
from eigexp.operators import DenseOperator, linearise
from eigexp.solvers.krylov import Krylov
from tests.solvers.spectra import Problem, linear, run


def log_spaced(n: int, largest: float, smallest: float) -> tuple[float, ...]:
    return tuple(torch.logspace(torch.tensor(largest).log10(), torch.tensor(smallest).log10(), n, dtype=torch.float64).tolist())


def square(*eigenvalues: float) -> Problem:
    return Problem(len(eigenvalues), len(eigenvalues), (eigenvalues,))


FAMILIES = {
    "2 equal largest": square(1.0, 1.0, *linear(118, 0.7, 0.02)),
    "3 equal largest": square(1.0, 1.0, 1.0, *linear(117, 0.7, 0.02)),
    "5 equal largest": square(*[1.0] * 5, *linear(115, 0.7, 0.02)),
    "3 equal second": square(1.0, 0.8, 0.8, 0.8, *linear(116, 0.6, 0.02)),
    "2 equal smallest": square(*linear(118, 1.0, 0.1), 0.02, 0.02),
    "3 equal smallest": square(*linear(117, 1.0, 0.1), 0.02, 0.02, 0.02),
    "5 equal smallest": square(*linear(115, 1.0, 0.1), *[0.02] * 5),
    "pairs throughout": square(*[value for value in linear(60, 1.0, 0.02) for _ in range(2)]),
    "dense smallest": square(*log_spaced(160, 1.0, 1e-4)),
    "two close largest": square(1.0, 1.0 - 1e-5, *linear(118, 0.7, 0.02)),
}


def false_claims(A: DenseOperator, truth: torch.Tensor, solver: Krylov, seed: int) -> list[str]:
    """What was claimed and is not so, one line a pair."""
    state = run(solver, A, seed)
    (pairs,) = certify(A, solver.pairs(state), solver=solver, state=state)
    slack = 1e-12 * float(truth[0])
    false = []
    for i, (lower, upper) in zip(pairs.eigenindex.tolist(), pairs.intervals.tolist(), strict=True):
        end = "top" if i < solver.num_top else "bottom"
        if pairs.evidence[end] in ("proven", "krylov") and not lower - slack <= float(truth[i]) <= upper + slack:
            false.append(f"{end} {i}: {float(truth[i])} is not in [{lower}, {upper}], {pairs.evidence[end]}")
    return false


@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("family", FAMILIES)
def test_no_claim_is_false(family, k):
    problem = FAMILIES[family]
    for seed in range(2):
        assert false_claims(problem.operator(seed=seed), problem.truth[0], Krylov(k=k), seed) == []


def test_a_single_smallest_eigenvalue_that_its_residual_alone_would_miss():
    problem = square(*[i**-1.2 for i in range(1, 89)])  # the residual was 8.9e-5, the error 1.2e-4
    assert false_claims(problem.operator(seed=428313), problem.truth[0], Krylov(), 428313) == []


@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("family", FAMILIES)
def test_claims_are_made_all_the_same(family, k):
    solver, A = Krylov(k=k), FAMILIES[family].operator()
    state = run(solver, A)
    (pairs,) = certify(A, solver.pairs(state), solver=solver, state=state)
    assert pairs.verified


@pytest.mark.parametrize("k", [3, 5])
def test_filters_applied_alike_to_the_channels_of_a_grey_picture(k):
    class Bank(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.filters = torch.nn.Conv2d(1, 2, 3, padding=1, bias=False, dtype=torch.float64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.filters(channel).sigmoid() for channel in x.split(1, dim=1)], dim=1)

    grey = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    A = linearise(Bank(), grey.expand(1, 3, 8, 8).contiguous())
    J = A.apply(torch.eye(192, dtype=torch.float64)[None])[0].T
    truth = torch.linalg.eigvalsh(J.T @ J).flip(0)
    assert torch.allclose(truth[0], truth[2])
    for seed in range(2):
        assert false_claims(DenseOperator(J[None]), truth, Krylov(k=k), seed) == []


@pytest.mark.parametrize("copies", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_a_copy_of_the_largest_eigenvalue_is_known_as_its_neighbour(copies, seed):
    solver, problem = Krylov(), square(*[1.0] * copies, *linear(150 - copies, 0.7, 0.02))
    (pairs,) = solver.pairs(run(solver, problem.operator(), seed))
    assert pairs.next_top is not None
    value, residual = pairs.next_top
    assert value == pytest.approx(1.0, abs=1e-3)
    assert residual < 1e-3


def test_a_neighbour_is_an_eigenpair_beyond_those_asked_for():
    problem = square(*linear(120, 1.0, 0.05))
    solver = Krylov(k=2)
    (pairs,) = solver.pairs(run(solver, problem.operator()))
    for neighbour, truth in ((pairs.next_top, problem.truth[0, 2]), (pairs.next_bottom, problem.truth[0, -3])):
        assert neighbour is not None
        assert neighbour[0] == pytest.approx(float(truth), abs=max(neighbour[1], 1e-9))


@pytest.mark.parametrize("max_basis", [300, 24])
@pytest.mark.parametrize("ends", [(0, 1), (0, 3), (1, 0), (3, 0)])
def test_an_end_alone_is_converged_and_verified(ends, max_basis):
    k_top, k_bottom = ends
    problem = square(*linear(120, 4.0, 0.1))
    solver = Krylov(k_top=k_top, k_bottom=k_bottom, max_basis=max_basis)
    A = problem.operator()
    state = run(solver, A)
    (pairs,) = certify(A, solver.pairs(state), solver=solver, state=state)
    assert pairs.status == "converged"
    assert pairs.verified
    assert pairs.notes == ()
    assert pairs.evidence["top" if k_bottom else "bottom"] is None
    assert solver.progress(state)[0].largest == pytest.approx(4.0, abs=1e-3)
    assert torch.allclose(pairs.eigenvalues, problem.truth[0][pairs.eigenindex], rtol=0, atol=4e-4)


@pytest.mark.parametrize("steps", [30, 40, 60])
def test_a_check_that_the_budget_ends_is_no_evidence(steps):
    solver = Krylov(k=3, max_steps=steps)
    (pairs,) = solver.pairs(run(solver, square(*linear(200, 1.0, 0.01)).operator()))
    assert {pairs.evidence_top, pairs.evidence_bottom} <= {"converged", "budget"}
