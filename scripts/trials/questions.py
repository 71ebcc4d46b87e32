"""What is asked of every family: solvers with their settings, by name."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from eigexp.solvers import Auto, Davidson, Exact, Krylov, Power, Solver, Sparse

F32, F64 = torch.float32, torch.float64


@dataclass(frozen=True)
class Question:
    """A solver and the dtype of its products; `group` is its row in the table of solvers."""

    group: str
    solver: Callable[[], Solver]
    dtype: torch.dtype


def _krylov(k: int, dtype: torch.dtype) -> Question:
    return Question(f"krylov, k={k}", lambda: Krylov(k=k), dtype)


DAVIDSON = (
    Question("davidson", lambda: Davidson(k=1), F64),
    Question("davidson", lambda: Davidson(k=3), F64),
    Question("davidson, restarts", lambda: Davidson(k=3, max_basis=40), F64),
)
STANDARD = (
    *(_krylov(k, dtype) for k in (1, 3, 5) for dtype in (F32, F64)),
    Question("krylov, no structured vectors", lambda: Krylov(k=3, structured_vectors=False), F32),
    Question("krylov, no structured vectors", lambda: Krylov(k=5, structured_vectors=False), F64),
    Question("krylov, one end", lambda: Krylov(k_top=3, k_bottom=0), F32),
    Question("krylov, one end", lambda: Krylov(k_top=0, k_bottom=1), F32),
    Question("krylov, one end", lambda: Krylov(k_top=0, k_bottom=3), F64),
    Question("krylov, restarts", lambda: Krylov(k=3, max_basis=40), F64),
    Question("auto", lambda: Auto(k=3), F32),
    Question("exact", lambda: Exact(k=5), F32),
    Question("power", lambda: Power(k=1, max_steps=200), F64),
    *DAVIDSON,
)
PLANES = (  # for images, whose structure preconditioners use
    Question("krylov, preconditioner pf", lambda: Krylov(k=3, preconditioner="pf"), F64),
    Question("krylov, preconditioner pf", lambda: Krylov(k=1, preconditioner="pf"), F32),
    Question("krylov, preconditioner pb", lambda: Krylov(k=1, preconditioner="pb"), F64),
)
RELATIVE = (  # for spectra whose smallest values are not zero
    Question("krylov, bottom_rtol", lambda: Krylov(k=1, bottom_rtol=0.1), F64),
    Question("krylov, bottom_rtol", lambda: Krylov(k=3, bottom_rtol=0.1), F64),
    Question("auto, bottom_rtol", lambda: Auto(k=3, bottom_rtol=0.01), F64),
)
SPARSE = (Question("sparse", lambda: Sparse(k=1), F64), Question("sparse", lambda: Sparse(k=5, bottom_rtol=0.01), F64))  # for first layers
NEVER_VERIFIED = ("power",)  # a small residual is all that it claims, but for bottoms that are proven zero
