"""What can be said of eigenpairs after fresh products: residuals, intervals, clusters, null spaces. Trusts nothing that a solver carried.

Theorems used. Some eigenvalue lies within ||F v - theta v|| of theta (Parlett 1998, theorem 4.5.1). Ritz values of an orthonormal set bound
the largest eigenvalues from below and the smallest from above (Cauchy's interlacing theorem; ibid., section 10.1). F is positive
semidefinite, so a bottom value is proven to tol when theta is. That the *end* eigenvalue lies within the residual is observed for a random
start, not proven.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from eigexp.operators.base import Operator
from eigexp.pairs import EigenPairs, Evidence, NullSpace, RitzPairs
from eigexp.shapes import Chosen, Distortions, Eigenindices, Intervals, Rows, Values
from eigexp.solvers.base import Progress, Solver, SolverState

_CHUNK = 64
_ZERO: dict[torch.dtype, float] = {torch.float32: 1e-12, torch.float64: 1e-24}  # relative to the largest: rounding, squared


@dataclass(frozen=True)
class _Fresh:
    """Pairs of one image by fresh products, in the order of their eigenindices."""

    vectors: Rows
    values: Values
    residuals: Values


def certify(A: Operator, pairs: list[RitzPairs], *, solver: Solver, state: SolverState) -> list[EigenPairs]:
    """Certified eigenpairs of every image of a batch, from what a solver proposes; one Fisher-vector product a pair.

    Args:
        A: the operator of the b images.
        pairs: one proposal an image, as `solver.pairs(state)` gives them.
        solver: whose `tol` and `bottom_rtol` were asked, and whose name goes into the result.
        state: for the counters.
    """
    standing = solver.progress(state)
    return [_certified(A.select([i]) if A.shape.b > 1 else A, p, standing[i], solver) for i, p in enumerate(pairs)]


def _certified(A: Operator, proposal: RitzPairs, standing: Progress, solver: Solver) -> EigenPairs:
    eps = torch.finfo(A.dtype).eps
    n, m = A.shape.n, A.shape.m
    fresh = _fresh_pairs(A, proposal)
    index = proposal.eigenindex
    largest = max([standing.largest, *fresh.values.tolist()])
    tol, rtol = float(standing.tolerance), getattr(solver, "bottom_rtol", None)
    top, bottom = _ends(index, n, proposal)
    rounding = 4 * eps * largest
    zero = fresh.values <= _ZERO[A.dtype] * largest
    met = {
        "tol": bool((fresh.residuals <= tol * largest + rounding).all()) and len(index) > 0,
        "bottom_rtol": None if rtol is None else bool((zero | (fresh.residuals <= rtol * fresh.values))[bottom].all()),
    }
    evidence: dict[str, Evidence | None] = {
        "top": _top_evidence(proposal, fresh.residuals[top] <= tol * largest + rounding),
        "bottom": _bottom_evidence(proposal, fresh, bottom, tol * largest, rounding, rtol),
    }
    asked_met = met["tol"] and met["bottom_rtol"] is not False
    return EigenPairs(
        eigenindex=index,
        eigenvalues=fresh.values,
        eigendistortions=_as_images(A, fresh.vectors),
        residuals=fresh.residuals,
        intervals=_intervals(proposal, fresh, top, evidence, largest, eps),
        clusters=_clusters(index, fresh, rounding),
        null_space=_null_space(proposal, zero, n, m),
        evidence=evidence,
        verified=all(e in ("proven", "krylov") for e in evidence.values() if e is not None) and len(index) > 0,
        status="converged" if asked_met and standing.status == "converged" else "budget",
        tolerances={"asked": {"tol": tol, "bottom_rtol": rtol}, "met": met},
        method=solver.name,
        n=n,
        m=m,
        fisher_vector_products=standing.fisher_vector_products + len(index),
        steps=standing.steps,
        notes=_notes(standing, met, fresh, rtol, rounding, A.dtype),
    )


def _notes(
    standing: Progress, met: dict[str, Any], fresh: _Fresh, rtol: float | None, rounding: float, dtype: torch.dtype
) -> tuple[str, ...]:
    """Why a solver that has converged did not meet what was asked."""
    if standing.status != "converged" or (met["tol"] and met["bottom_rtol"] is not False):
        return ()
    smallest = float(fresh.values[-1])
    if rtol is not None and met["tol"] and rtol * smallest < rounding:
        name = str(dtype).removeprefix("torch.")
        cure = "Set dtype=float64." if dtype == torch.float32 else "Ask for less."
        return (f"bottom_rtol={rtol} of a bottom value of {smallest:.2g} is less than the rounding of {name} products. {cure}",)
    return ("the solver's residuals were not confirmed by fresh products",)


def _fresh_pairs(A: Operator, proposal: RitzPairs) -> _Fresh:
    vectors, values, residuals = [], [], []
    for chunk in proposal.vectors.split(_CHUNK) if len(proposal.vectors) else ():
        z = chunk / torch.linalg.vector_norm(chunk, dim=1, keepdim=True, dtype=torch.float64).to(chunk.dtype)
        u = A.apply(z[None])
        g = A.adjoint(u)[0]
        theta = u[0].double().square().sum(1) / z.double().square().sum(1)
        residual = torch.linalg.vector_norm(g.double() - theta[:, None] * z.double(), dim=1)
        vectors.append(z)
        values.append(theta.cpu())
        residuals.append(residual.cpu())
    if not vectors:
        return _Fresh(proposal.vectors, torch.empty(0, dtype=torch.float64), torch.empty(0, dtype=torch.float64))
    theta = torch.cat(values)
    order = torch.argsort(theta, descending=True, stable=True)  # rounding can swap neighbours; eigenindices increase
    return _Fresh(torch.cat(vectors)[order.to(proposal.vectors.device)], theta[order], torch.cat(residuals)[order])


def _ends(index: Eigenindices, n: int, proposal: RitzPairs) -> tuple[Chosen, Chosen]:
    """Which pairs belong to the top and which to the bottom: a gap of the indices parts them."""
    if proposal.evidence_bottom is None:
        return torch.ones(len(index), dtype=torch.bool), torch.zeros(len(index), dtype=torch.bool)
    if proposal.evidence_top is None:
        return torch.zeros(len(index), dtype=torch.bool), torch.ones(len(index), dtype=torch.bool)
    breaks = (index.diff() > 1).nonzero().flatten().tolist()
    first_bottom = breaks[0] + 1 if breaks else (len(index) + 1) // 2
    place = torch.arange(len(index))
    return place < first_bottom, place >= first_bottom


def _top_evidence(proposal: RitzPairs, met: Tensor) -> Evidence | None:
    if proposal.evidence_top is None:
        return None
    return proposal.evidence_top if bool(met.all()) else "budget"


def _bottom_evidence(
    proposal: RitzPairs, fresh: _Fresh, bottom: Tensor, allowed: float, rounding: float, rtol: float | None
) -> Evidence | None:
    """Proven where every bottom value is within the tolerance of zero, F being positive semidefinite; else the solver's, if it holds."""
    if proposal.evidence_bottom is None:
        return None
    values, residuals = fresh.values[bottom], fresh.residuals[bottom]
    if bool((values + rounding <= allowed).all()) and (rtol is None or proposal.evidence_bottom != "krylov"):
        return "proven"
    if bool((residuals > allowed + rounding).any()):
        return "budget"
    if proposal.evidence_bottom == "proven" and proposal.evidence_top != "proven":
        return "converged"  # the solver's proof did not survive fresh products; an exact solver's rests on the whole spectrum instead
    return proposal.evidence_bottom


def _intervals(
    proposal: RitzPairs, fresh: _Fresh, top: Chosen, evidence: dict[str, Evidence | None], largest: float, eps: float
) -> Intervals:
    """Bounds of each eigenvalue, shape (k, 2): by interlacing on one side, by the residual and what verification left open on the other."""
    rounding = 8 * eps * largest
    below, above = torch.full_like(fresh.values, rounding), torch.full_like(fresh.values, rounding)
    above[top] += fresh.residuals[top].clamp(min=proposal.top_margin)
    below[~top] += fresh.residuals[~top].clamp(min=proposal.bottom_margin)
    if evidence["top"] not in ("krylov", "proven"):
        below[top] += fresh.residuals[top]
    if evidence["bottom"] not in ("krylov", "proven"):
        above[~top] += fresh.residuals[~top]
    lower, upper = (fresh.values - below).clamp(min=0.0), fresh.values + above
    if evidence["bottom"] == "proven" and evidence["top"] != "proven":
        lower[~top] = 0.0
    return torch.stack([lower, upper], dim=1)


def _clusters(index: Eigenindices, fresh: _Fresh, rounding: float) -> tuple[tuple[int, ...], ...]:
    """Runs of neighbours whose gap does not exceed twice a residual: their vectors are determined only together."""
    runs: list[list[int]] = []
    for i in range(1, len(index)):
        adjacent = int(index[i] - index[i - 1]) == 1
        gap = float(fresh.values[i - 1] - fresh.values[i])
        r0, r1 = float(fresh.residuals[i - 1]), float(fresh.residuals[i])
        if adjacent and (gap - r1 <= 2 * r0 + rounding or gap - r0 <= 2 * r1 + rounding):
            if runs and runs[-1][-1] == int(index[i - 1]):
                runs[-1].append(int(index[i]))
            else:
                runs.append([int(index[i - 1]), int(index[i])])
    return tuple(tuple(run) for run in runs)


def _null_space(proposal: RitzPairs, zero: Chosen, n: int, m: int) -> NullSpace:
    estimate = None if proposal.null_fraction is None else n * proposal.null_fraction
    return NullSpace(dimension_at_least=max(n - m, int(zero.sum()), 0), dimension_estimate=estimate)


def _as_images(A: Operator, vectors: Rows) -> Distortions:
    """Pixels (k, *image shape), each with its entry of largest magnitude positive."""
    pixels = A.to_pixels(vectors)
    if not len(pixels):
        return pixels if A.images is None else pixels.reshape(0, *A.images.shape[1:])
    peak = pixels.gather(1, pixels.abs().argmax(dim=1, keepdim=True))
    pixels = torch.where(peak < 0, -pixels, pixels)
    return pixels if A.images is None else pixels.unflatten(1, A.images.shape[1:])
