"""Which pairs a space gives: Ritz pairs, and the bottom vectors that F shrinks most."""

import pytest
import torch

from eigexp.certificates import certify
from eigexp.operators import DenseOperator
from eigexp.solvers.both_ends import Wanted
from eigexp.solvers.krylov import Krylov, growing
from eigexp.solvers.krylov.extraction import ritz_pairs, shrunk_pairs
from eigexp.solvers.krylov.space import KrylovSpace
from tests.solvers.spectra import run


def random_space(n: int = 60, d: int = 20) -> tuple[KrylovSpace, torch.Tensor]:
    """A random subspace of a random positive semidefinite F (n, n), in float64."""
    generator = torch.Generator().manual_seed(3)
    A = torch.randn(n, n, generator=generator, dtype=torch.float64)
    F = A.T @ A / n
    rows = torch.linalg.qr(torch.randn(n, d, generator=generator, dtype=torch.float64)).Q.T
    space = KrylovSpace.empty(n, torch.float64, torch.device("cpu"))
    for v in rows:
        space = space.expand(v, F @ v, float(v @ F @ v))
    return space, F


@pytest.mark.parametrize(
    ("d", "eigenindex", "positions"),
    [(0, [], []), (1, [0], [0]), (2, [0, 1], [0, 1]), (3, [0, 1, 99], [0, 1, -1]), (9, [0, 1, 98, 99], [0, 1, -2, -1])],
)
def test_a_space_holds_the_top_first_and_no_pair_twice(d, eigenindex, positions):
    ranks, places = Wanted(100, 2, 2).held(d)
    assert ranks.tolist() == eigenindex
    assert places.tolist() == positions


@pytest.mark.parametrize("bottom", [1, 3])
def test_shrunk_pairs_are_the_vectors_that_f_shrinks_most(bottom):
    space, F = random_space()
    wanted = Wanted(60, 2, bottom)
    pairs, size = shrunk_pairs(space.with_gram(), wanted)
    z = space.combine(pairs.coefficients)
    assert torch.allclose(z @ z.T, torch.eye(2 + bottom, dtype=torch.float64), atol=1e-10)
    assert torch.allclose(z @ F @ z.T, torch.diag(pairs.values), atol=1e-10)
    assert torch.equal(pairs.coefficients[:2], ritz_pairs(space, wanted).coefficients[:2])
    others = space.combine(space.vectors[2:])  # the whole choice: an orthonormal basis of the space outside the wanted top
    smallest = torch.linalg.svdvals(others @ F)[-bottom:]
    assert size == pytest.approx(float(smallest[0]), rel=1e-8)
    assert float(torch.linalg.matrix_norm(z[2:] @ F, 2)) == pytest.approx(size, rel=1e-8)


def test_the_gram_matrix_grows_with_the_space_and_turns_with_it():
    space, F = random_space()
    half = KrylovSpace.of(space.V, space.G, space.H, space.gram)
    assert len(half.gram) == 0
    grown = half.with_gram().expand(*_next(half, F)).with_gram()
    assert torch.allclose(grown.gram, grown.G.rows @ grown.G.rows.T, atol=1e-10)
    turned = grown.restart(grown.vectors[-3:], grown.values[-3:])
    assert torch.allclose(turned.gram, turned.G.rows @ turned.G.rows.T, atol=1e-10)


def _next(space: KrylovSpace, F: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    v = space.orthogonal_part(torch.arange(60, dtype=torch.float64))
    assert v is not None
    return v, F @ v, float(v @ F @ v)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_a_dense_bottom_near_zero_takes_far_fewer_products_than_its_ritz_pairs(k, seed, monkeypatch):
    n = 900
    values = torch.cat([torch.linspace(1, 0.1, 60, dtype=torch.float64), torch.logspace(-1, -6, n - 60, dtype=torch.float64)])
    generator = torch.Generator().manual_seed(5)
    basis = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
    A, solver = DenseOperator((basis * values.sqrt()).T[None]), Krylov(k=k)
    state = run(solver, A, seed)
    (pairs,) = certify(A, solver.pairs(state), solver=solver, state=state)
    assert pairs.status == "converged"
    assert pairs.evidence["bottom"] == "proven"
    assert bool((pairs.residuals <= 1e-4 * pairs.eigenvalues[0]).all())
    assert bool((pairs.eigenvalues[-k:] >= values[-k:]).all())
    monkeypatch.setattr(growing, "_measure_shrunk", lambda settings, state, residuals: (state, residuals))
    ritz_only = run(solver, A, seed)
    assert state.images[0].fisher_vector_products < 0.9 * ritz_only.images[0].fisher_vector_products
