"""Which pairs a space gives: Ritz pairs, and the bottom vectors that F shrinks most."""

from functools import cache

import numpy as np
import pytest
import torch

from eigexp.certificates import certify
from eigexp.operators import DenseOperator
from eigexp.solvers.both_ends import Wanted
from eigexp.solvers.krylov import Krylov, growing
from eigexp.solvers.krylov.extraction import ritz_pairs, shrunk_pairs
from eigexp.solvers.krylov.space import KrylovSpace
from tests.solvers.spectra import run


def random_space(n: int = 60, d: int = 20, locked: int = 0) -> tuple[KrylovSpace, torch.Tensor]:
    """A random subspace of a random positive semidefinite F (n, n), in float64, orthogonal to some random rows."""
    generator = torch.Generator().manual_seed(3)
    A = torch.randn(n, n, generator=generator, dtype=torch.float64)
    F = A.T @ A / n
    rows = torch.linalg.qr(torch.randn(n, d + locked, generator=generator, dtype=torch.float64)).Q.T
    space = KrylovSpace.empty(rows[d:])
    for v in rows[:d]:
        space = grown(space, F, v)
    return space, F


def grown(space: KrylovSpace, F: torch.Tensor, direction: torch.Tensor) -> KrylovSpace:
    """The space with a further direction and its product."""
    waiting = space.along(direction)
    assert waiting is not None
    return product_taken(waiting, F)


def product_taken(space: KrylovSpace, F: torch.Tensor) -> KrylovSpace:
    """The space with the product that it waits for."""
    g = F @ space.direction[0]
    return space.expand(torch.linalg.cholesky(F).T @ space.direction[0], g)


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
    pairs, size = shrunk_pairs(space, wanted)
    z = space.combine(pairs.coefficients)
    assert torch.allclose(z @ z.T, torch.eye(2 + bottom, dtype=torch.float64), atol=1e-10)
    assert np.allclose(z @ F @ z.T, np.diag(pairs.values), atol=1e-10)
    assert np.array_equal(pairs.coefficients[:2], ritz_pairs(space, wanted).coefficients[:2])
    others = space.combine(space.vectors[2:])  # the whole choice: an orthonormal basis of the space outside the wanted top
    smallest = torch.linalg.svdvals(others @ F)[-bottom:]
    assert size == pytest.approx(float(smallest[0]), rel=1e-8)
    assert float(torch.linalg.matrix_norm(z[2:] @ F, 2)) == pytest.approx(size, rel=1e-8)


def image_of(space: KrylovSpace) -> np.ndarray:
    """F V, as the space knows it."""
    return space.H @ space.rows.numpy() + space.C.T @ space.R.numpy()


def holds(space: KrylovSpace, F: torch.Tensor) -> bool:
    """Whether F V = H V + C^T R, H = V F V^T, and V and R are orthonormal together."""
    both = torch.cat([space.rows, space.R])
    identity = np.eye(len(both))
    return all(
        np.allclose(found, expected, atol=1e-10)
        for found, expected in (
            (image_of(space), space.rows @ F),
            (space.H, space.rows @ F @ space.rows.T),
            (both @ both.T, identity),
        )
    )


def test_a_space_knows_f_of_its_rows_wherever_directions_come_from():
    space, F = random_space(d=3)
    assert holds(space, F) and len(space.R) == 3  # of each direction from elsewhere F adds a row
    ones = torch.ones(60, dtype=torch.float64)
    for step in range(24):
        waiting = grown(space, F, ones.cumsum(0) ** (step // 6)) if step % 6 == 5 else space.along_residual(space.vectors[-1])
        assert waiting is not None
        space = waiting if step % 6 == 5 else product_taken(waiting, F)
        assert holds(space, F)
    kept = space.restarted(3, 4)
    assert len(kept) == 7 and holds(kept, F)
    few = random_space(d=20)[0].restarted(2, 2)
    assert len(few.R) <= 4 and holds(few, F)  # F adds at most a row to each vector
    again = kept.along_residual(kept.vectors[-1])
    assert again is not None and holds(product_taken(again, F), F)


def nearly_invariant(coupling: float, n: int = 40, d: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    """Orthonormal rows (d, n) of a random subspace, and an F that couples it to the rest by so much."""
    generator = torch.Generator().manual_seed(5)
    draw = [torch.randn(n, n, generator=generator, dtype=torch.float64) for _ in range(2)]
    frame, inner = torch.linalg.qr(draw[0]).Q, torch.linalg.qr(draw[1][:d, :d]).Q
    F = torch.diag(torch.cat([torch.linspace(1, 9, d), torch.linspace(2, 3, n - d)]).double())
    F[:d, d:] = coupling * draw[1][:d, d:]
    F[d:, :d] = F[:d, d:].T
    return inner @ frame[:d], frame.T @ F @ frame


def krylov_space(F: torch.Tensor, start: torch.Tensor, steps: int, locked: torch.Tensor) -> KrylovSpace:
    space = grown(KrylovSpace.empty(locked), F, start / start.norm())
    for _ in range(steps - 1):
        waiting = space.along_latest()
        assert waiting is not None
        space = product_taken(waiting, F)
    return space


@pytest.mark.parametrize("coupling", [1e-6, 1e-9, 1e-11])
def test_a_short_remainder_is_orthogonal_to_all_rows(coupling):
    """Also where directions come from elsewhere, or F leans on locked rows that are no eigenvectors."""
    rows, F = nearly_invariant(coupling)
    space = KrylovSpace.empty(rows[:0])
    for v in rows:
        space = grown(space, F, v)
    assert len(space.R) == 7 and holds(space, F)
    space = krylov_space(F, rows[:5].sum(0), 5, locked=rows[5:])
    everything = torch.cat([space.locked, space.rows, space.R])
    assert len(space.R) == 1 and torch.allclose(everything @ everything.T, torch.eye(8, dtype=torch.float64), atol=1e-12)


def test_a_remainder_of_rounding_alone_is_left_out():
    rows, F = nearly_invariant(0.0)
    assert len(krylov_space(F, rows.sum(0), 7, locked=rows[:0]).R) == 0


def test_residuals_come_from_the_coefficients_alone():
    space, F = random_space()
    c = np.linalg.qr(np.cos(np.arange(60.0).reshape(20, 3)))[0].T
    values = np.array([0.5, 0.25, 0.0])
    z = space.combine(c)
    residuals = z @ F - torch.from_numpy(values)[:, None] * z
    assert np.allclose(space.residual_norms(c, values), residuals.norm(dim=1))
    assert all(torch.allclose(space.residual(c[i], float(values[i])), residuals[i]) for i in range(3))
    (last,) = space.combine(space.vectors[-1:])
    assert space.residual_norm(-1) == pytest.approx(float((F @ last - space.values[-1] * last).norm()))


def test_residuals_count_what_leads_into_locked_rows():
    space, F = random_space(d=6, locked=2)
    z = space.combine(space.vectors)
    residuals = (z @ F - torch.from_numpy(space.values)[:, None] * z).norm(dim=1)
    assert np.allclose(space.residual_norms(space.vectors, space.values), residuals)
    assert float((z @ F @ space.locked.T).norm(dim=1).max()) > 0.1


def test_a_row_that_is_short_beside_what_was_removed_is_still_orthogonal():
    generator = torch.Generator().manual_seed(4)
    basis = torch.linalg.qr(torch.randn(60, 60, generator=generator, dtype=torch.float64)).Q.T
    part = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    D = torch.eye(60, dtype=torch.float64)
    D[:4, :4] += part @ part.T
    D[3, 4] = D[4, 3] = 1e-9
    F, space = basis.T @ D @ basis, KrylovSpace.empty(torch.empty(0, 60, dtype=torch.float64))
    for v in basis[:4]:
        space = grown(space, F, v)
    assert float((space.R @ basis[4]).norm()) == pytest.approx(1, abs=1e-6)  # F adds it, by a billionth
    assert holds(space, F)


def test_a_direction_that_the_space_holds_is_not_new():
    space, F = random_space(d=5)
    assert space.along(space.rows[2] + space.rows[3]) is None
    whole = space
    while len(whole.R):
        waiting = whole.along_latest()
        assert waiting is not None
        whole = product_taken(waiting, F)
    assert len(whole) == 60 and whole.along_latest() is None and whole.along_residual(whole.vectors[0]) is None


@cache
def dense_bottom(n=900):
    """Eigenvalues, and a matrix (1, n, n) whose squared singular values they are."""
    values = torch.cat([torch.linspace(1, 0.1, 60, dtype=torch.float64), torch.logspace(-1, -6, n - 60, dtype=torch.float64)])
    basis = torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(5), dtype=torch.float64)).Q
    return values, (basis * values.sqrt()).T[None]


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_a_dense_bottom_near_zero_takes_far_fewer_products_than_its_ritz_pairs(k, seed, monkeypatch):
    values, matrix = dense_bottom()
    A, solver = DenseOperator(matrix), Krylov(k=k)
    state = run(solver, A, seed)
    (pairs,) = certify(A, solver.pairs(state), solver=solver, state=state)
    assert pairs.status == "converged"
    assert pairs.evidence["bottom"] == "proven"
    assert bool((pairs.residuals <= 1e-4 * pairs.eigenvalues[0]).all())
    assert bool((pairs.eigenvalues[-k:] >= values[-k:]).all())
    monkeypatch.setattr(growing, "_measure_shrunk", lambda settings, state: state)
    ritz_only = run(solver, A, seed)
    assert state.images[0].fisher_vector_products < 0.9 * ritz_only.images[0].fisher_vector_products
