"""Pairs are extracted less often where that costs more than a step; and a space with several rows R stays orthonormal."""

import numpy as np
import pytest
import torch

from eigexp.operators import DenseOperator
from eigexp.solvers.krylov import Krylov
from eigexp.solvers.krylov.extraction import extraction_is_due
from eigexp.solvers.krylov.space import KrylovSpace

N, K = 300, 6


def problem(n: int = N, m: int = 200, ratio: float = 0.97) -> DenseOperator:
    """A dense Jacobian with geometrically decreasing singular values, some of them repeated, and a null space."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(size, m, generator=generator, dtype=torch.float64)).Q for size in (m, n))
    s = ratio ** (torch.arange(m, dtype=torch.float64) // 2)
    return DenseOperator((left * s @ right.T).float()[None])


def test_small_spaces_and_long_vectors_are_extracted_at_every_step():
    assert all(extraction_is_due(d, 4096) for d in range(1, 97))
    assert all(extraction_is_due(d, 150_528) for d in range(1, 300))


@pytest.mark.parametrize("n", [256, 3072, 12288])
def test_the_steps_between_extractions_are_few(n):
    due = [d for d in range(32, 400) if extraction_is_due(d, n)]
    late = np.diff([31, *due])
    assert late.max() > 1
    assert all(gap <= 2 + d / 8 for gap, d in zip(late, due, strict=True))


def test_a_run_extracts_seldom_and_takes_hardly_more_products(monkeypatch):
    A, calls, eigh = problem(), [], np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda H: (calls.append(len(H)), eigh(H))[1])

    def spent() -> tuple[int, float]:
        calls.clear()
        state = Krylov(k=K).init(A, 0)
        while not Krylov(k=K).done(state):
            state = Krylov(k=K).step(A, state)
        assert Krylov(k=K).progress(state)[0].status == "converged"
        return len(calls), state.images[0].fisher_vector_products

    seldom, products = spent()
    for place in ("deciding", "checking"):
        monkeypatch.setattr(f"eigexp.solvers.krylov.{place}.extraction_is_due", lambda d, n: True)
    often, fewest = spent()
    assert seldom < 0.6 * often
    assert products <= 1.1 * fewest


def test_between_extractions_the_pairs_are_those_of_the_last_one_and_a_run_resumes():
    A, solver = problem(), Krylov(k=K)
    state, between = solver.init(A, 0), 0
    while not solver.done(state) and between < 3:
        state = solver.step(A, state)
        image = state.images[0]
        between += image.phase == "krylov" and 0 < image.coefficients.shape[1] < len(image.space)
    pairs, progress = solver.pairs(state)[0], solver.progress(state)[0]
    V = pairs.vectors.double()
    F = A.matrix[0].double().T @ A.matrix[0].double()
    residuals = torch.linalg.vector_norm(V @ F - pairs.eigenvalues[:, None] * V, dim=1)
    assert torch.allclose(residuals, torch.tensor(progress.residuals, dtype=torch.float64), atol=1e-6)
    ends = []
    for start in (state, solver.load(state.to_dict())):
        while not solver.done(start):
            start = solver.step(A, start)
        ends.append(start.to_dict())
    assert all(torch.equal(ends[0][k], v) if isinstance(v, torch.Tensor) else ends[0][k] == v for k, v in ends[1].items())


def test_a_space_with_several_rows_stays_orthonormal():
    """Each row of R once lost a little; the error grew by a tenth with every step, until vectors were no longer of unit length."""
    A = problem(600, 400, ratio=0.9)
    generator = torch.Generator().manual_seed(1)
    space = KrylovSpace.empty(torch.empty(0, 600))
    for i in range(260):
        space = space.along(torch.randn(600, generator=generator)) if i < 12 else space.along_residual(space.vectors[i % 12])
        u = A.apply(space.direction[None])
        space = space.expand(u[0, 0], A.adjoint(u)[0, 0])
    rows = torch.cat([space.rows, space.R]).double()
    assert len(space.R) > 5
    assert float((rows @ rows.T - torch.eye(len(rows))).abs().max()) < 1e-6


def test_a_run_that_costs_more_than_the_jacobian_says_so(caplog):
    caplog.set_level("INFO")
    generator = torch.Generator().manual_seed(0)
    for m, said in ((10, True), (600, False)):
        caplog.clear()
        A, solver = DenseOperator(torch.randn(1, m, 800, generator=generator)), Krylov()
        state = solver.init(A, 0)
        while not solver.done(state):
            state = solver.step(A, state)
        assert ("solver=exact is cheaper here" in caplog.text) == (state.images[0].fisher_vector_products > m / 2) == said
