"""Generalised Davidson on pencils whose ratios are known: restarts, several pairs, and what its check rules out."""

import numpy as np
import pytest
import scipy.linalg
import torch

from eigexp.certificates import certify
from eigexp.errors import ConfigurationError, MemoryLimitError, OperatorError
from eigexp.linalg.gaussian import gaussian_rows, weight_at_risk
from eigexp.operators import CountedOperator, DenseOperator
from eigexp.operators.pair import PairOperator
from eigexp.solvers import Davidson
from tests.solvers.spectra import run, through_disk

N = 160


def orthonormal(seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(N, N)))[0]


def pencil(ratios, spread=30.0, floor=0.05, seed=0):
    """A pair with these ratios, whose M has eigenvalues from the floor to `spread` times that, and its M."""
    Q = orthonormal(seed)
    B = Q * (floor * np.geomspace(1e-3, spread, N)) @ Q.T
    M = B + floor * np.eye(N)
    L = np.linalg.cholesky(M)
    F = L @ (P := orthonormal(seed + 1)) @ np.diag(ratios) @ P.T @ L.T
    A, B = (CountedOperator(DenseOperator(torch.from_numpy(scipy.linalg.sqrtm(S).real)[None])) for S in (F, B))
    return PairOperator(A, B, floor), M


def solved(A, **settings):
    solver = Davidson(**settings)
    state = run(solver, A)
    return state.images[0], certify(A, solver.pairs(state), solver=solver, state=state)[0]


SPECTRA = {
    "several": np.sort([4.0, 3.9, 3.0, *np.linspace(1.5, 0.5, N - 6), 0.2, 0.11, 0.1])[::-1],
    "repeated": np.sort([4.0, 4.0, 4.0, *np.linspace(1.5, 0.5, N - 5), 0.1, 0.1])[::-1],
    "rank-deficient": np.sort([*np.linspace(3.0, 1.0, 40), *[0.0] * (N - 40)])[::-1],
}


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("max_basis", [40, 300])
def test_ratios_are_found_certified_and_checked(spectrum, k, max_basis):
    truth, (A, _) = SPECTRA[spectrum], pencil(SPECTRA[spectrum])
    image, pairs = solved(A, k=k, tol=1e-6, max_basis=max_basis)
    assert len(image.space) <= max(max_basis, 60) and image.space.U.size <= Davidson(k=k, max_basis=max_basis).vectors(10**9)
    index = pairs.eigenindex.numpy()
    low, high = pairs.intervals.numpy().T
    np.testing.assert_allclose(pairs.eigenvalues.numpy(), truth[index], atol=1e-6 * truth[0])
    assert (low <= truth[index] + 1e-12).all() and (truth[index] <= high + 1e-12).all()
    assert pairs.fisher_vector_products == float((A.inner.fisher_vector_products + A.second.fisher_vector_products)[0])
    assert pairs.status == "converged"
    assert pairs.verified or max_basis == 40  # a space that restarts so often may give the check up


def test_a_largest_ratio_that_the_start_hides_is_found_by_the_check():
    """The start has little of the vector of the largest ratio: the search converges to the second, and only the check goes on."""
    n, generator = N, torch.Generator().manual_seed(0)
    w = gaussian_rows(1, n, generator.get_state(), torch.empty(0, n, dtype=torch.float64))[0][0].numpy()
    w /= np.linalg.norm(w)
    other = np.random.default_rng(5).normal(size=n)
    other -= (other @ w) * w
    hidden = 1e-3 * w + np.sqrt(1 - 1e-6) * other / np.linalg.norm(other)
    assert 10 * weight_at_risk(n) < 1e-3
    rest = scipy.linalg.null_space(hidden[None]).T
    Q = np.concatenate([hidden[None], rest])
    A = PairOperator(
        *(
            DenseOperator(torch.from_numpy(np.sqrt(d)[:, None] * Q)[None])
            for d in (np.array([1.05, 1.0, *np.linspace(0.6, 0.2, n - 2)]), np.zeros(n))
        ),
        1.0,
    )
    _, trusting = solved(A, tol=0.02, k_bottom=0, verify=False)
    _, checked = solved(A, tol=0.02, k_bottom=0)
    assert float(trusting.eigenvalues[0]) < 1.01 and trusting.evidence["top"] == "converged" and not trusting.verified
    assert float(checked.eigenvalues[0]) > 1.03 and checked.verified


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_bound_of_the_weight_holds_for_eigenvectors_of_the_pencil(sign, k):
    """At an eigenvalue the remainder is at least the weight of its vector in the start; beyond all of them it becomes small."""
    A, M = pencil(SPECTRA["several"])
    F = A.inner.inner.matrix[0].numpy().T @ A.inner.inner.matrix[0].numpy()
    solver = Davidson(k=k, tol=1e-4)
    state = solver.init(A, 0)
    while state.images[0].phase == "search" or len(state.images[0].space.starts) < min(k, 2):
        state = solver.step(A, state)
    beyond, U = solver._beyond(state.images[0], sign, k), state.images[0].space.U.rows.numpy()
    assert beyond.start == (k > 1)  # what is locked depends on the first start
    w = beyond.space.starts[beyond.start] @ U
    (pairs,) = solver.pairs(state)
    found = pairs.vectors.numpy()[:k] if sign > 0 else pairs.vectors.numpy()[-k:]
    for v, locked in zip(found if k > 1 else [], beyond.locked @ U, strict=True):
        assert abs(locked @ M @ v) == pytest.approx(np.linalg.norm(locked) * np.linalg.norm(M @ v), rel=1e-4)
    # With locked vectors, those of the pencil on what is orthogonal to them with respect to M.
    Z = scipy.linalg.null_space(beyond.locked @ U) if len(beyond.locked) else np.eye(N)
    values, vectors = scipy.linalg.eigh(Z.T @ F @ Z, Z.T @ M @ Z)
    for i in (-1, -2, -3, N // 2, 2, 1, 0):
        y = Z @ vectors[:, i] / np.linalg.norm(Z @ vectors[:, i])
        t = 1 / values[i] if sign > 0 else values[i]
        left = np.linalg.norm(beyond._left(t, beyond._free()))
        np.testing.assert_allclose(beyond._rows(t, beyond._free()) @ (U @ y), 0, atol=1e-8)
        assert left >= abs(w @ y) * (1 - 1e-7)
    final = run(solver, A).images[0]
    assert final.top_checked and final.bottom_checked
    beyond = solver._beyond(final, sign, k)
    assert max(np.linalg.norm(beyond._left(t, beyond._free())) for t in beyond._points()) <= weight_at_risk(N)


def test_a_restarted_search_resumes_bit_for_bit():
    A, _ = pencil(SPECTRA["several"])
    solver = Davidson(k=2, tol=1e-4, max_basis=40)
    state, resumed = solver.init(A, 1), solver.init(A, 1)
    while not solver.done(state):
        state, resumed = solver.step(A, state), solver.step(A, through_disk(solver, resumed))
    assert all(
        torch.equal(a, b) if torch.is_tensor(a) else a == b
        for a, b in zip(state.to_dict().values(), resumed.to_dict().values(), strict=True)
    )


def test_what_cannot_be_is_refused(monkeypatch):
    A, _ = pencil(SPECTRA["several"])
    with pytest.raises(ConfigurationError, match=r"solver\.max_basis=0 must be a positive number"):
        Davidson(max_basis=0)
    rank_one = PairOperator(A.inner, DenseOperator(torch.ones(1, 1, N, dtype=torch.float64)), 1e-30)
    with pytest.raises(OperatorError, match=r"the floor is lost in the rounding of the second model's Fisher information\. Set a larger"):
        run(Davidson(), rank_one)
    hint = Davidson().memory_hint(500)
    size = int(hint.removeprefix("Set solver.max_basis=").partition(",")[0])
    assert Davidson(max_basis=size).vectors(10**9) <= 500 < Davidson(max_basis=size + 1).vectors(10**9)
    assert Davidson().memory_hint(50).startswith("Set a smaller images.size")
    monkeypatch.setattr("eigexp.system.memory.free_memory", lambda device: 8 * N * 200)
    with pytest.raises(MemoryLimitError, match=r"solver=davidson for b=1 images of n=160 pixels, whose state may grow to \d+ vectors"):
        Davidson().init(A, 0)
