"""Dense problems whose spectra are known, and how to run a solver on them."""

import io
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from eigexp.operators import DenseOperator, Operator
from eigexp.solvers.base import Solver, SolverState


@dataclass(frozen=True)
class Problem:
    """`spectra`: eigenvalues of F of each image, decreasing, length n; at most m of them not zero."""

    m: int
    n: int
    spectra: tuple[tuple[float, ...], ...]

    @property
    def truth(self) -> Tensor:
        return torch.tensor(self.spectra, dtype=torch.float64)

    def operator(self, dtype: torch.dtype = torch.float64, seed: int = 0) -> DenseOperator:
        return DenseOperator(torch.stack([_matrix(self.m, self.n, row, seed + i) for i, row in enumerate(self.truth)]).to(dtype))


def _matrix(m: int, n: int, eigenvalues: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    r = min(m, n)
    U, V = (torch.linalg.qr(torch.randn(size, r, generator=generator, dtype=torch.float64)).Q for size in (m, n))
    return (U * eigenvalues[:r].sqrt()) @ V.T


def linear(n: int, largest: float, smallest: float) -> tuple[float, ...]:
    return tuple(torch.linspace(largest, smallest, n, dtype=torch.float64).tolist())


PROBLEMS = {
    "tall": Problem(30, 24, (linear(24, 3.0, 0.05),)),
    "wide": Problem(12, 24, ((*linear(12, 2.0, 0.1), *[0.0] * 12),)),
    "repeated top": Problem(24, 24, ((1.0, 1.0, 1.0, *linear(21, 0.8, 0.02)),)),
    "rank-deficient": Problem(26, 24, ((*linear(10, 1e4, 500.0), *[0.0] * 14),)),
    "two coordinates": Problem(3, 2, ((0.5, 0.2),)),
    "one coordinate": Problem(3, 1, ((0.7,),)),
    "three images": Problem(30, 24, (linear(24, 1.0, 0.1), (1.0, *linear(22, 0.2, 0.15), 0.0), (1.0, 0.95, *linear(22, 0.9, 0.3)))),
}


def run(solver: Solver, A: Operator, seed: int = 0) -> SolverState:
    state = solver.init(A, seed)
    while not solver.done(state):
        state = solver.step(A, state)
    return state


def copied(flat: dict[str, Any]) -> dict[str, Any]:
    return {key: value.clone() if isinstance(value, Tensor) else value for key, value in flat.items()}


def through_disk(solver: Solver, state: SolverState) -> SolverState:
    file = io.BytesIO()
    torch.save(state.to_dict(), file)
    file.seek(0)
    return solver.load(torch.load(file, weights_only=True))


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Keys under which two flat states differ in a single bit; NaN equals NaN."""
    assert a.keys() == b.keys()
    return [key for key in a if not _same(a[key], b[key])]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.isnan(), b.isnan()) and torch.equal(a[~a.isnan()], b[~b.isnan()])
    return type(a) is type(b) and (a == b or (a != a and b != b))
