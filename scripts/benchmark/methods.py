"""eigexp and its peers: one function each, which solves one case.

SciPy's svds is measured with ARPACK only. With PROPACK it took 330 to 370 products where it worked; where J is singular it does not return,
and no time limit can stop it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, cast
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from eigexp.certificates import certify
from eigexp.models.zoo import plenoptic_model
from eigexp.operators import CountedOperator, Operator, dense_matrix
from eigexp.pairs import EigenPairs
from eigexp.solvers.base import Solver, SolverState
from eigexp.solvers.krylov import Krylov
from scripts.benchmark.cases import MODELS, Case

SEED, DENSE_LIMIT = 0, 4096


class Stopped(Exception):
    """The time limit of a case is reached."""


class Unsuitable(Exception):
    """A peer cannot do this case."""


@dataclass
class Work:
    """The input of a peer, and its results: `found` maps "top" and "bottom" to eigenvalues (k,), extreme first, and vectors (k, n)."""

    case: Case
    A: "Limited"
    deadline: float
    found: dict[str, tuple[np.ndarray, Tensor]] = field(default_factory=dict)
    counted_elsewhere: float = 0.0

    @property
    def dtype(self) -> type:
        """The dtype of arrays."""
        return np.float64 if self.case.double else np.float32

    def check(self) -> None:
        """Raise Stopped when the time limit is reached."""
        if time.perf_counter() > self.deadline:
            raise Stopped

    def fisher(self, v: np.ndarray) -> np.ndarray:
        """Return F v for a vector (n,) or columns (n, k)."""
        rows = torch.from_numpy(np.ascontiguousarray(v.reshape(len(v), -1).T, dtype=self.dtype))[None]
        return self.A.fisher(rows)[0].T.reshape(v.shape).numpy()

    def forward(self, v: np.ndarray) -> np.ndarray:
        """Return J v, shape (m,), for a vector (n,) or (n, 1)."""
        return self.A.apply(torch.from_numpy(np.ascontiguousarray(v, dtype=self.dtype)).view(1, 1, -1)).flatten().numpy()

    def back(self, u: np.ndarray) -> np.ndarray:
        """Return J^T u, shape (n,), for a vector (m,) or (m, 1)."""
        return self.A.adjoint(torch.from_numpy(np.ascontiguousarray(u, dtype=self.dtype)).view(1, 1, -1)).flatten().numpy()

    def keep(self, end: str, values: Any, vectors: Any) -> None:
        """Store the pairs of an end: values (k,) in any order, vectors (n, k)."""
        values, rows = np.array(values, dtype=np.float64), torch.tensor(np.array(vectors).T, dtype=self.case.dtype)
        order = np.argsort(-values if end == "top" else values)
        self.found[end] = values[order], rows[torch.from_numpy(order)]

    def require_both_ends(self) -> None:
        """Refuse a case that asks for the largest pairs alone, where the peer computes both ends in any case."""
        if "bottom" not in self.case.ends:
            raise Unsuitable("computes both ends")

    def start(self) -> np.ndarray:
        """Return random columns (n, k), the same for every peer."""
        return np.random.default_rng(SEED).standard_normal((self.A.shape.n, self.case.k)).astype(self.dtype)

    def linear_operator(self, shape: tuple[int, int], matvec: Callable[[np.ndarray], np.ndarray], **products: Any) -> Any:
        """Return a LinearOperator of SciPy, which PRIMME accepts too."""
        from scipy.sparse.linalg import LinearOperator

        make: Any = LinearOperator
        return make(shape, matvec=matvec, dtype=self.dtype, **products)

    def largest_residual(self) -> float:
        """Return the largest norm of F z - theta z of the pairs found, relative to the largest eigenvalue; its products are counted."""
        residuals = [
            np.linalg.norm(self.fisher(rows.T.numpy()) - values.astype(self.dtype) * rows.T.numpy(), axis=0).max()
            for values, rows in self.found.values()
        ]
        return float(max(residuals) / self.found["top"][0][0])

    def norm_of_fisher(self) -> float:
        """Return an estimate of the largest eigenvalue by 5 power steps."""
        v = self.start()[:, 0]
        for _ in range(5):
            v = self.fisher(v / np.linalg.norm(v))
        return float(np.linalg.norm(v))


class Limited(CountedOperator):
    """Counts products and their seconds, and stops at a deadline."""

    deadline = float("inf")
    seconds = 0.0

    def _apply(self, v: Tensor) -> Tensor:
        return self._timed(super()._apply, v)

    def _adjoint(self, u: Tensor) -> Tensor:
        return self._timed(super()._adjoint, u)

    def _timed(self, product: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        start = time.perf_counter()
        if start > self.deadline:
            raise Stopped
        y = product(x)
        self.seconds += time.perf_counter() - start
        return y


def iterated(A: Operator, solver: Solver) -> SolverState:
    """Return the last state of a solver."""
    state = solver.init(A, SEED)
    while not solver.done(state):
        state = solver.step(A, state)
    return state


def solved(A: Operator, solver: Solver) -> list[EigenPairs]:
    """Solve, and return the certified pairs of every image."""
    state = iterated(A, solver)
    return certify(A, solver.pairs(state), solver=solver, state=state)


def fresh_residual(A: Operator, vector: Tensor) -> float:
    """Return ||F z - theta z|| by fresh products, z being the vector (n,) scaled to unit norm."""
    z = vector / torch.linalg.vector_norm(vector)
    u = A.apply(z.view(1, 1, -1))
    theta = float(u.double().square().sum())
    return float((A.adjoint(u).flatten().double() - theta * z.double()).norm())


def eigexp_krylov(work: Work) -> str:
    """Run the default solver and its certificate. Return the evidence."""
    (pairs,) = solved(work.A, _krylov(work))
    _keep_ends(work, pairs.eigenvalues, pairs.eigendistortions.flatten(1))
    return ", ".join(f"{end} {pairs.evidence[end]}" for end in work.case.ends)


def eigexp_pairs_alone(work: Work) -> str:
    """Run the default solver without the search for missed eigenvalues and without a certificate: what the other methods compute."""
    solver = replace(_krylov(work), check_multiplicity=0, verify=False)
    (pairs,) = solver.pairs(iterated(work.A, solver))
    _keep_ends(work, pairs.eigenvalues, pairs.vectors)
    return "no search, no certificate"


def _krylov(work: Work) -> Krylov:
    return Krylov(k_top=work.case.k, k_bottom=work.case.k if "bottom" in work.case.ends else 0, tol=work.case.tol)


def _keep_ends(work: Work, values: Tensor, rows: Tensor) -> None:
    for end in work.case.ends:
        chosen = slice(work.case.k) if end == "top" else slice(-work.case.k, None)
        work.keep(end, values[chosen], rows[chosen].T)


def plenoptic_power(work: Work) -> str:
    """Run plenoptic's Eigendistortion.synthesize with its defaults, on plenoptic's own front ends where it has them."""
    work.require_both_ends()
    po, own = import_module("plenoptic"), MODELS[work.case.key][1]
    autodiff, module = (import_module(f"plenoptic._synthesize.{name}") for name in ("autodiff", "eigendistortion"))
    product = autodiff._fisher_info_matrix_vector_product

    def counted(y: Tensor, x: Tensor, v: Tensor, dummy: Tensor) -> Tensor:
        work.check()
        work.counted_elsewhere += v.shape[1]
        return product(y, x, v, dummy)

    model = (plenoptic_model(own) if own else work.case.model()).eval().to(work.case.dtype)
    po.remove_grad(model)
    torch.manual_seed(SEED)
    eigen = po.Eigendistortion(work.case.image, model)
    power = eigen._synthesize_power

    def noted(*args: Any, **settings: Any) -> Any:
        values, vectors = power(*args, **settings)
        work.keep("bottom" if "top" in work.found else "top", values.detach(), vectors.detach())
        return values, vectors

    names = "_fisher_info_matrix_vector_product"
    with patch.object(autodiff, names, counted), patch.object(module, names, counted), patch.object(eigen, "_synthesize_power", noted):
        eigen.synthesize(k=work.case.k)
    return "defaults: stops where the eigenvalue moves by 1e-7"


def arpack(work: Work) -> str:
    """Run ARPACK twice: largest of F, then largest of lambda_1 - F, so that both tolerances are relative to lambda_1."""
    from scipy.sparse.linalg import eigsh

    n = work.A.shape.n
    settings: Any = {"k": work.case.k, "which": "LA", "tol": work.case.tol, "v0": work.start()[:, 0]}
    values, vectors = eigsh(work.linear_operator((n, n), work.fisher), **settings)
    work.keep("top", values, vectors)
    if "bottom" in work.case.ends:
        largest = values.max()
        gaps, vectors = eigsh(work.linear_operator((n, n), lambda v: largest * v - work.fisher(v)), **settings)
        work.keep("bottom", largest - gaps, vectors)
    return "one run for each end"


def arpack_both(work: Work) -> str:
    """Run ARPACK once with which="BE" on F - shift, the shift about lambda_1 / 2, so that the tolerance is the same at both ends."""
    from scipy.sparse.linalg import eigsh

    work.require_both_ends()
    n, k, shift = work.A.shape.n, work.case.k, work.norm_of_fisher() / 2
    shifted = work.linear_operator((n, n), lambda v: work.fisher(v) - work.dtype(shift) * v)
    settings: Any = {"k": 2 * k, "which": "BE", "tol": 2 * work.case.tol, "v0": work.start()[:, 0]}
    values, vectors = eigsh(shifted, **settings)
    order = np.argsort(values)
    for end, chosen in (("bottom", order[:k]), ("top", order[k:])):
        work.keep(end, values[chosen] + shift, vectors[:, chosen])
    return "which=BE, shifted by lambda_1 / 2 from 5 power steps"


def arpack_svds(work: Work) -> str:
    """Compute the largest and the smallest singular values of J in two runs; the second tolerance is relative to the smallest."""
    from scipy.sparse.linalg import svds

    n, m = work.A.shape.n, work.A.shape.m
    J = work.linear_operator((m, n), work.forward, rmatvec=work.back)
    for end in work.case.ends:
        which = "LM" if end == "top" else "SM"
        settings: Any = {"which": which, "tol": work.case.tol, "v0": work.start()[: min(m, n), 0], "solver": "arpack"}
        _, s, vt = cast("tuple[np.ndarray, ...]", svds(J, k=work.case.k, **settings))
        work.keep(end, s.astype(np.float64) ** 2, vt.T)
    return "one run for each end; cannot reach a null space when m < n"


def scipy_lobpcg(work: Work) -> str:
    """Run SciPy's matrix-free LOBPCG; its tolerance is absolute, so lambda_1 is estimated by 5 power steps."""
    from scipy.sparse.linalg import lobpcg

    n, tol = work.A.shape.n, work.case.tol * work.norm_of_fisher()
    F = work.linear_operator((n, n), work.fisher, matmat=work.fisher)
    for end in work.case.ends:
        values, vectors = lobpcg(F, work.start(), tol=tol, maxiter=1000, largest=end == "top")
        work.keep(end, values, vectors)
    return "matrix-free, one run for each end, no preconditioner"


def torch_lobpcg(work: Work) -> str:
    """Run torch.lobpcg, which needs a matrix; the min(m, n) products that make it are counted."""
    if work.A.shape.n > DENSE_LIMIT:
        raise Unsuitable("needs a matrix, and F would be too large")
    J = dense_matrix(work.A)[0]
    F, X = J.T @ J, torch.from_numpy(work.start())
    tracker: Any = lambda _: work.check()  # noqa: E731
    for end in work.case.ends:
        values, vectors = torch.lobpcg(F, k=work.case.k, X=X.clone(), tol=work.case.tol, niter=1000, largest=end == "top", tracker=tracker)
        work.keep(end, values, vectors)
    return "needs a matrix: products are those that make it"


def pullback(work: Work) -> str:
    """Run the subspace iteration of Park et al. (2023, "Understanding the latent space of diffusion models", code Diffusion-Pullback).

    V starts as random orthonormal rows; each iteration computes U = J V and takes the right singular vectors of J^T U, until after 12
    iterations or more no entry of V changes by more than 1e-3, 100 iterations at most. It computes the largest pairs alone.
    """
    if "bottom" in work.case.ends:
        raise Unsuitable("computes the largest pairs alone")
    V, s, iterations, settled = np.linalg.qr(work.start())[0].T, np.zeros(0), 0, False
    while not settled and iterations < 100:
        before = V
        _, s, V = np.linalg.svd(np.stack([work.back(work.forward(v)) for v in V]), full_matrices=False)
        iterations += 1
        settled = iterations > 11 and np.allclose(before, V, atol=1e-3)
    work.keep("top", s, V.T)
    return f"{iterations} iterations"


def matfree(work: Work) -> str:
    """Run matfree's Lanczos method with full orthogonalisation. It has no tolerance: steps are doubled until residuals are met."""
    jax, decomposition, eigen = _imported("jax"), _imported("matfree.decomp"), _imported("matfree.eig")
    jax.config.update("jax_enable_x64", True)  # arrays keep the dtype that they are given
    n, k, steps = work.A.shape.n, work.case.k, 16 * work.case.k
    start, shape = jax.numpy.asarray(work.start()[:, 0]), jax.ShapeDtypeStruct((n,), work.dtype)
    while True:
        solve = eigen.eigh_partial(decomposition.tridiag_sym(min(steps, n)))
        values, vectors = map(np.asarray, solve(lambda v: jax.pure_callback(work.fisher, shape, v), start))
        order = np.argsort(values)
        for end in work.case.ends:
            chosen = order[-k:] if end == "top" else order[:k]
            work.keep(end, values[chosen], vectors[chosen].T)
        if steps >= n or work.largest_residual() <= work.case.tol:
            return f"{min(steps, n)} steps, doubled from {16 * k}"
        steps *= 2


def primme(work: Work) -> str:
    """Run PRIMME's default method for one end after the other; its tolerance is relative to the norm of F."""
    eigsh = _imported("primme").eigsh
    n = work.A.shape.n
    F = work.linear_operator((n, n), work.fisher, matmat=work.fisher)
    for end in work.case.ends:
        values, vectors = eigsh(F, k=work.case.k, which="LA" if end == "top" else "SA", tol=work.case.tol, v0=work.start())
        work.keep(end, values, vectors)
    return "default method, no preconditioner"


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise Unsuitable("not installed") from error


METHODS: dict[str, Callable[[Work], str]] = {
    "eigexp": eigexp_krylov,
    "eigexp, pairs alone": eigexp_pairs_alone,
    "plenoptic": plenoptic_power,
    "ARPACK": arpack,
    "ARPACK BE": arpack_both,
    "svds": arpack_svds,
    "LOBPCG": scipy_lobpcg,
    "torch.lobpcg": torch_lobpcg,
    "PRIMME": primme,
    "pullback": pullback,
    "matfree": matfree,
}
