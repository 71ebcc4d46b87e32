"""eigexp and its peers: one function each, which solves one case.

SciPy's svds is measured with ARPACK only. With PROPACK it took 330 to 370 products where it worked; where J is singular it does not return,
and no time limit can stop it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
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
from eigexp.solvers.base import Solver
from eigexp.solvers.krylov import Krylov
from scripts.benchmark.cases import MODELS, Case

TOL, SEED, DENSE_LIMIT = 1e-4, 0, 4096


class Stopped(Exception):
    """The time limit of a case is reached."""


class Unsuitable(Exception):
    """A peer cannot do this case."""


@dataclass
class Work:
    """The input of a peer, and its results: `found` maps "top" and "bottom" to (eigenvalue, vector (n,))."""

    case: Case
    A: "Limited"
    deadline: float
    found: dict[str, tuple[float, Tensor]] = field(default_factory=dict)
    counted_elsewhere: float = 0.0

    def check(self) -> None:
        """Raise Stopped when the time limit is reached."""
        if time.perf_counter() > self.deadline:
            raise Stopped

    def fisher(self, v: np.ndarray) -> np.ndarray:
        """Return F v for a vector (n,) or columns (n, k), float32."""
        rows = torch.from_numpy(np.ascontiguousarray(v.reshape(len(v), -1).T, dtype=np.float32))[None]
        return self.A.fisher(rows)[0].T.reshape(v.shape).numpy()

    def forward(self, v: np.ndarray) -> np.ndarray:
        """Return J v, shape (m,), for a vector (n,) or (n, 1), float32."""
        return self.A.apply(torch.from_numpy(np.ascontiguousarray(v, dtype=np.float32)).view(1, 1, -1)).flatten().numpy()

    def back(self, u: np.ndarray) -> np.ndarray:
        """Return J^T u, shape (n,), for a vector (m,) or (m, 1), float32."""
        return self.A.adjoint(torch.from_numpy(np.ascontiguousarray(u, dtype=np.float32)).view(1, 1, -1)).flatten().numpy()

    def keep(self, end: str, value: Any, vector: Any) -> None:
        """Store a pair."""
        self.found[end] = (float(value), torch.tensor(np.array(vector), dtype=torch.float32).flatten())

    def start(self, k: int = 1) -> np.ndarray:
        """Return random columns (n, k), float32, the same for every peer."""
        return np.random.default_rng(SEED).standard_normal((self.A.shape.n, k)).astype(np.float32)


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


def linear_operator(shape: tuple[int, int], matvec: Callable[[np.ndarray], np.ndarray], **products: Any) -> Any:
    """Return a float32 LinearOperator of SciPy, which PRIMME accepts too."""
    from scipy.sparse.linalg import LinearOperator

    make: Any = LinearOperator
    return make(shape, matvec=matvec, dtype=np.float32, **products)


def solved(A: Operator, solver: Solver) -> list[EigenPairs]:
    """Solve, and return the certified pairs of every image."""
    state = solver.init(A, SEED)
    while not solver.done(state):
        state = solver.step(A, state)
    return certify(A, solver.pairs(state), solver=solver, state=state)


def fresh_residual(A: Operator, vector: Tensor) -> float:
    """Return ||F z - theta z|| by fresh products, z being the vector (n,) scaled to unit norm."""
    z = vector / torch.linalg.vector_norm(vector)
    u = A.apply(z.view(1, 1, -1))
    theta = float(u.double().square().sum())
    return float((A.adjoint(u).flatten().double() - theta * z.double()).norm())


def eigexp_krylov(work: Work) -> str:
    """Run the default solver and its certificate. Return the evidence."""
    (pairs,) = solved(work.A, Krylov(tol=TOL))
    for i, end in ((0, "top"), (-1, "bottom")):
        work.keep(end, pairs.eigenvalues[i], pairs.eigendistortions[i])
    return f"top {pairs.evidence['top']}, bottom {pairs.evidence['bottom']}"


def plenoptic_power(work: Work) -> str:
    """Run plenoptic's Eigendistortion.synthesize with its defaults, on plenoptic's own front ends where it has them."""
    po, own = import_module("plenoptic"), MODELS[work.case.key][1]
    autodiff, module = (import_module(f"plenoptic._synthesize.{name}") for name in ("autodiff", "eigendistortion"))
    product = autodiff._fisher_info_matrix_vector_product

    def counted(y: Tensor, x: Tensor, v: Tensor, dummy: Tensor) -> Tensor:
        work.check()
        work.counted_elsewhere += v.shape[1]
        return product(y, x, v, dummy)

    model = (plenoptic_model(own) if own else work.case.model()).eval()
    po.remove_grad(model)
    torch.manual_seed(SEED)
    eigen = po.Eigendistortion(work.case.image, model)
    power = eigen._synthesize_power

    def noted(*args: Any, **settings: Any) -> Any:
        values, vectors = power(*args, **settings)
        work.keep("bottom" if "top" in work.found else "top", values[0], vectors[:, 0].detach())
        return values, vectors

    names = "_fisher_info_matrix_vector_product"
    with patch.object(autodiff, names, counted), patch.object(module, names, counted), patch.object(eigen, "_synthesize_power", noted):
        eigen.synthesize()
    return "defaults: stops where the eigenvalue moves by 1e-7"


def arpack(work: Work) -> str:
    """Run ARPACK twice: largest of F, then largest of lambda_1 - F, so that both tolerances are relative to lambda_1."""
    from scipy.sparse.linalg import eigsh

    n, v0 = work.A.shape.n, work.start()[:, 0]
    settings: Any = {"k": 1, "which": "LA", "tol": TOL, "v0": v0}
    values, vectors = eigsh(linear_operator((n, n), work.fisher), **settings)
    work.keep("top", values[0], vectors)
    shifted = linear_operator((n, n), lambda v: values[0] * v - work.fisher(v))
    gaps, vectors = eigsh(shifted, **settings)
    work.keep("bottom", values[0] - gaps[0], vectors)
    return "two runs"


def arpack_both(work: Work) -> str:
    """Run ARPACK once with which="BE" on F - shift, the shift about lambda_1 / 2, so that the tolerance is the same at both ends."""
    from scipy.sparse.linalg import eigsh

    n, v = work.A.shape.n, work.start()[:, 0]
    for _ in range(5):
        v = work.fisher(v / np.linalg.norm(v))
    shift = float(np.linalg.norm(v)) / 2
    shifted = linear_operator((n, n), lambda v: work.fisher(v) - np.float32(shift) * v)
    settings: Any = {"k": 2, "which": "BE", "tol": 2 * TOL, "v0": work.start()[:, 0]}
    values, vectors = eigsh(shifted, **settings)
    work.keep("bottom", values[0] + shift, vectors[:, 0])
    work.keep("top", values[1] + shift, vectors[:, 1])
    return "which=BE, shifted by lambda_1 / 2 from 5 power steps"


def arpack_svds(work: Work) -> str:
    """Compute the largest and the smallest singular value of J in two runs; the second tolerance is relative to the smallest."""
    from scipy.sparse.linalg import svds

    n, m = work.A.shape.n, work.A.shape.m
    J = linear_operator((m, n), work.forward, rmatvec=work.back)
    for end, which in (("top", "LM"), ("bottom", "SM")):
        settings: Any = {"k": 1, "which": which, "tol": TOL, "v0": work.start()[: min(m, n), 0], "solver": "arpack"}
        _, s, vt = cast("tuple[np.ndarray, ...]", svds(J, **settings))
        work.keep(end, float(s[0]) ** 2, vt[0])
    return "two runs; cannot reach a null space when m < n"


def scipy_lobpcg(work: Work) -> str:
    """Run SciPy's matrix-free LOBPCG; its tolerance is absolute, so lambda_1 is estimated by 5 power steps."""
    from scipy.sparse.linalg import lobpcg

    n, v = work.A.shape.n, work.start()[:, 0]
    for _ in range(5):
        v = work.fisher(v / np.linalg.norm(v))
    tol = TOL * float(np.linalg.norm(v))
    F = linear_operator((n, n), work.fisher, matmat=work.fisher)
    for end in ("top", "bottom"):
        values, vectors = lobpcg(F, work.start(), tol=tol, maxiter=1000, largest=end == "top")
        work.keep(end, values[0], vectors)
    return "matrix-free, two runs, no preconditioner"


def torch_lobpcg(work: Work) -> str:
    """Run torch.lobpcg, which needs a matrix; the min(m, n) products that make it are counted."""
    if work.A.shape.n > DENSE_LIMIT:
        raise Unsuitable("needs a matrix, and F would be too large")
    J = dense_matrix(work.A)[0]
    F, X = J.T @ J, torch.from_numpy(work.start())
    tracker: Any = lambda _: work.check()  # noqa: E731
    for end in ("top", "bottom"):
        values, vectors = torch.lobpcg(F, k=1, X=X.clone(), tol=TOL, niter=1000, largest=end == "top", tracker=tracker)
        work.keep(end, values[0], vectors)
    return "needs a matrix: products are those that make it"


def primme(work: Work) -> str:
    """Run PRIMME's default method for one end after the other; its tolerance is relative to the norm of F."""
    try:
        eigsh: Any = import_module("primme").eigsh
    except ImportError as error:
        raise Unsuitable("not installed") from error
    n = work.A.shape.n
    F = linear_operator((n, n), work.fisher, matmat=work.fisher)
    for end, which in (("top", "LA"), ("bottom", "SA")):
        values, vectors = eigsh(F, k=1, which=which, tol=TOL, v0=work.start())
        work.keep(end, values[0], vectors)
    return "default method, no preconditioner"


METHODS: dict[str, Callable[[Work], str]] = {
    "eigexp": eigexp_krylov,
    "plenoptic": plenoptic_power,
    "ARPACK": arpack,
    "ARPACK BE": arpack_both,
    "svds": arpack_svds,
    "LOBPCG": scipy_lobpcg,
    "torch.lobpcg": torch_lobpcg,
    "PRIMME": primme,
}
