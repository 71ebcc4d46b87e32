"""The cost of the smallest eigenvalue to 1 % of itself, where it is tiny: eigexp's solvers and two peers, in float64."""

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eigexp.operators import Operator, dense_matrix, linearise
from eigexp.solvers.base import Solver
from eigexp.solvers.exact import Exact
from eigexp.solvers.krylov import Krylov
from eigexp.solvers.sparse import Sparse
from scripts.benchmark.cases import Case
from scripts.benchmark.methods import DENSE_LIMIT, SEED, Limited, Stopped, fresh_residual, solved

RTOL, CASES = 0.01, ["eff0-32", "eff0-64"]
Record = dict[str, Any]
Solve = Callable[[Limited], tuple[float, Tensor]]


def relative_bottom(case: Case, cap: float, methods: Sequence[str] | None = None) -> Record:
    """Run methods (all by default) on one case. Return products, seconds, and the relative error of its smallest eigenvalue."""
    model, image = case.model().double(), case.image.double()
    A = linearise(model, image)
    record: Record = {"name": case.name, "label": case.label, "n": A.shape.n, "m": A.shape.m, "rtol": RTOL, "cap": cap, "runs": []}
    dense = A.shape.n <= DENSE_LIMIT
    truth = _truth(A) if dense else None
    for method in METHODS if methods is None else methods:
        if method == "exact" and not dense:
            continue
        run = _timed(method, METHODS[method], linearise(model, image), cap)
        if run["value"] is not None:
            truth = truth or run["value"]  # without a dense one, that of the first method, which has a proof
            run["error"] = abs(run["value"] / truth - 1)
        record["runs"].append(run)
    return record


def relative_lines(record: Record) -> list[str]:
    """Return a table in Markdown."""
    head = f"Smallest eigenvalue of {record['label']} to {record['rtol']:.0%} of itself, float64, n = {record['n']}"
    head = f"{head}, time limit {record['cap']:g} s:"
    lines = ["", head, "", "| method | FVPs | seconds | error / λₙ | residual / λₙ |", "|---|---|---|---|---|"]
    for run in record["runs"]:
        if "note" in run:
            lines.append(f"| {run['method']} | {run['note']} | – | – | – |")
            continue
        known = "– | –" if run["value"] is None else f"{run['error']:.0e} | {run['residual']:.0e}"
        seconds = f"> {run['seconds']:.0f}" if run["stopped"] else f"{run['seconds']:.1f}"
        lines.append(f"| {run['method']} | {run['fvps']:.0f} | {seconds} | {known} |")
    return lines


def _timed(method: str, solve: Solve, A: Operator, cap: float) -> Record:
    start = time.perf_counter()
    limited = Limited(A)
    limited.deadline = start + cap
    run: Record = {"method": method, "stopped": False, "value": None}
    try:
        value, vector = solve(limited)
        run |= {"value": value, "residual": fresh_residual(A, vector) / value}
    except (Stopped, ArithmeticError, RuntimeError):  # the last two are how SciPy and PRIMME say it
        run["stopped"] = True
    except ModuleNotFoundError:
        run["note"] = "not installed"
    return run | {"seconds": time.perf_counter() - start, "fvps": float(limited.fisher_vector_products[0])}


def _truth(A: Operator) -> float:
    return float(torch.linalg.svdvals(dense_matrix(A)[0])[-1].square())


def _by(solver: Solver) -> Solve:
    def solve(A: Limited) -> tuple[float, Tensor]:
        (pairs,) = solved(A, solver)
        return float(pairs.eigenvalues[-1]), pairs.eigendistortions[-1].flatten()

    return solve


def _peer(name: str) -> Solve:
    """Return `eigsh` of SciPy or PRIMME at the lower end; SciPy's tolerance is relative to the eigenvalue, PRIMME's to the norm of F."""

    def solve(A: Limited) -> tuple[float, Tensor]:
        from scipy.sparse.linalg import LinearOperator

        n = A.shape.n
        make: Any = LinearOperator
        F = make((n, n), matvec=lambda v: A.fisher(torch.from_numpy(np.array(v)).view(1, 1, -1)).flatten().numpy(), dtype=np.float64)
        eigsh: Any = import_module(name).eigsh
        v0 = np.random.default_rng(SEED).standard_normal(n)
        settings = {"tol": 1e-9, "v0": v0[:, None]} if name == "primme" else {"tol": RTOL, "v0": v0}
        values, vectors = eigsh(F, k=1, which="SA", **settings)
        return float(values[0]), torch.from_numpy(np.array(vectors[:, 0]))

    return solve


METHODS: dict[str, Solve] = {
    "sparse": _by(Sparse(bottom_rtol=RTOL)),
    "exact": _by(Exact(k=1)),
    "krylov": _by(Krylov(bottom_rtol=RTOL, max_steps=10**5, max_basis=1500)),
    "krylov, pb": _by(Krylov(bottom_rtol=RTOL, max_steps=10**5, max_basis=1500, preconditioner="pb")),
    "ARPACK": _peer("scipy.sparse.linalg"),
    "PRIMME": _peer("primme"),
}
