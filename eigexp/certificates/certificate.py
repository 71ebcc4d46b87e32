"""From a solver's proposal to certified pairs: fresh products in float64, evidence, intervals, clusters, notes.

Theorems used, and where: Weinstein's and Kahan's bounds by residuals and Cauchy's interlacing (fresh), 0 <= lambda_n <= theta (evidence),
gap bounds of angles (clusters). That the *end* eigenvalue lies within the residual is observed for a random start, not proven.
"""

import math
from typing import Any, Literal, get_args

import torch

from eigexp.certificates.clusters import find_clusters, uniqueness_notes
from eigexp.certificates.evidence import bottom_evidence, is_verified, split_ends, top_evidence
from eigexp.certificates.fresh import FreshPairs
from eigexp.certificates.intervals import intervals
from eigexp.certificates.noise_spectrum import under_noise
from eigexp.certificates.products import Measured, measure
from eigexp.certificates.ratios import as_ratios
from eigexp.errors import ConfigurationError, nearest
from eigexp.operators.base import Operator
from eigexp.operators.float64 import float64_bytes, in_float64
from eigexp.pairs import EigenPairs, Evidence, NullSpace, NumericallyZero, RitzPairs
from eigexp.shapes import Distortions, Rows
from eigexp.solvers.base import Progress, Solver, SolverState
from eigexp.system.memory import check_memory

Precision = Literal["float64", "solver"]

_SQUARED_ROUNDING = {torch.float32: 1e-12, torch.float64: 1e-24}  # of lambda_1: the Rayleigh quotient of a null vector in that dtype
_NUMERICALLY_ZERO = 1e-12  # of lambda_1


def certify(
    A: Operator, pairs: list[RitzPairs], *, solver: Solver, state: SolverState, precision: Precision = "float64"
) -> list[EigenPairs]:
    """Return certified eigenpairs of every image of a batch, from a solver's proposals.

    This takes one Fisher-vector product per pair, and a few more where rounding is measured or hides a smallest value (decision 69).

    Args:
        A: the operator of the b images.
        pairs: one proposal per image, as `solver.pairs(state)` returns them.
        solver: the solver, whose `tol` and `bottom_rtol` were requested, and whose name is stored in the result.
        state: the solver's state, for the numbers of products and steps.
        precision: "float64" makes the products with a float64 copy of the model, whatever the solver's dtype; "solver" makes them with A,
            and widens the intervals by the rounding that is measured there.
    """
    progress = solver.progress(state)
    own = solver.certificate(A, pairs, state, progress)
    if own is not None:
        return own
    precise, problem = _precise_operator(A, max((len(p.eigenindex) for p in pairs), default=0), precision)
    measured = [measure(A, i, p, progress[i], precise, problem) for i, p in enumerate(pairs)]
    found = [_certificate(A, p, progress[i], solver, measured[i]) for i, p in enumerate(pairs)]
    return [as_ratios(under_noise(p, A.noise, measured[i].largest), A) for i, p in enumerate(found)]


def check_precision(certify: str) -> Precision:
    """Return the setting `certify` if it is known.

    Raises:
        ConfigurationError: if it is not.
    """
    if certify not in get_args(Precision):
        raise ConfigurationError(f"certify={certify} is unknown. {nearest(str(certify), get_args(Precision))}")
    return certify  # pyright: ignore[reportReturnType]


def check_certificate_memory(A: Operator, precision: Precision) -> None:
    """Refuse work whose certificate would not fit into memory, before it begins.

    Raises:
        MemoryLimitError: with `certify=solver` as the hint, which needs no copy of the model.
    """
    if precision == "float64" and (needed := float64_bytes(A)):
        hint = "Set certify=solver, or a smaller images.size."
        check_memory(needed, A.device, "certify=float64, with its copy of the model,", hint)


def _precise_operator(A: Operator, vectors: int, precision: Precision) -> tuple[Operator | None, str | None]:
    """Return the operator in float64, or None, and the reason if it was requested but is not available."""
    if precision == "solver":
        return (A if A.dtype == torch.float64 else None), None
    try:
        precise = in_float64(A, vectors)
    except Exception as error:  # a model may fail to be copied in ways of its own
        return None, f"{type(error).__name__}: {error}"
    return precise, None if precise is not None else "it has no model that could be copied"


def _certificate(A: Operator, proposal: RitzPairs, progress: Progress, solver: Solver, measured: Measured) -> EigenPairs:
    n, m = A.shape.n, A.num_responses
    index, fresh, rounding = proposal.eigenindex, measured.fresh, measured.rounding
    largest, tol, rtol = measured.largest, float(progress.tolerance), getattr(solver, "bottom_rtol", None)
    top = split_ends(index, proposal)
    zero = fresh.values <= _SQUARED_ROUNDING[A.dtype] * largest
    # A solver cannot stop more precisely than its dtype allows; the residual that is printed is the precise one.
    within = fresh.residuals <= tol * largest + 4 * torch.finfo(A.dtype).eps * largest
    met = {
        "tol": bool(within.all()) and len(index) > 0,
        "bottom_rtol": None if rtol is None else bool((zero | (fresh.residuals <= rtol * fresh.values))[~top].all()),
    }
    # With a criterion of its own a solver has converged whatever the residuals; it claims no more than "converged" then.
    # `independent` as well: nearly parallel vectors may all meet the tolerance by one and the same eigenvalue.
    accepted = (within | (not solver.stops_by_residuals)) & fresh.independent
    evidence: dict[str, Evidence | None] = {
        "top": top_evidence(proposal, accepted[top]),
        "bottom": bottom_evidence(
            proposal,
            fresh.values[~top],
            accepted[~top],
            allowed=tol * largest,
            rounding=rounding,
            relative=rtol is not None,
        ),
    }
    clusters = find_clusters(index, n, top, fresh, proposal, rounding=4 * torch.finfo(A.dtype).eps * largest)
    asked_met = not solver.stops_by_residuals or (met["tol"] and met["bottom_rtol"] is not False)
    return EigenPairs(
        eigenindex=index,
        eigenvalues=fresh.values,
        eigendistortions=_as_images(A, fresh.vectors.to(A.dtype)),
        residuals=fresh.residuals,
        intervals=intervals(proposal, fresh, top, evidence, rounding=rounding, shift=measured.shift),
        clusters=clusters,
        null_space=_null_space(proposal, fresh, n, m, rounding=rounding, largest=largest),
        evidence=evidence,
        verified=is_verified(evidence, fresh),
        status="budget" if progress.status != "converged" else "converged" if asked_met else "unconfirmed",
        tolerances={"asked": {"tol": tol, "bottom_rtol": rtol}, "met": met},
        method=solver.name,
        n=n,
        m=m,
        fisher_vector_products=progress.fisher_vector_products + measured.products,
        steps=progress.steps,
        notes=(
            *_tolerance_notes(progress, met, fresh, rtol, largest, A.dtype, by_residuals=solver.stops_by_residuals),
            *measured.notes,
            *uniqueness_notes(clusters, index, n, m),
        ),
    )


def _tolerance_notes(
    progress: Progress,
    met: dict[str, Any],
    fresh: FreshPairs,
    rtol: float | None,
    largest: float,
    dtype: torch.dtype,
    *,
    by_residuals: bool,
) -> list[str]:
    """Return why a converged solver did not meet the tolerances, or why a relative tolerance does not apply."""
    if progress.status != "converged" or not len(fresh.values):
        return []
    name, smallest = str(dtype).removeprefix("torch."), float(fresh.values[-1])
    hint = "Set dtype=float64." if dtype == torch.float32 else "Ask for less."
    if met["tol"] and met["bottom_rtol"] is not False:
        if rtol is not None and smallest <= _SQUARED_ROUNDING[dtype] * largest:
            return [f"the smallest eigenvalue is zero within the rounding of {name} vectors, so bottom_rtol={rtol} does not apply to it"]
        return []
    if rtol is not None and met["tol"] and rtol * smallest < 4 * torch.finfo(dtype).eps * largest:
        return [f"bottom_rtol={rtol} of a bottom value of {smallest:.2g} is less than the rounding of {name} products. {hint}"]
    if not by_residuals:
        reached = float(fresh.residuals.max()) / largest
        return [f"the solver stopped by its own criterion; its residuals are up to {reached:.1e} of the largest eigenvalue"]
    fresh_size, own_size = float(fresh.residuals.max()) / largest, max(progress.residuals, default=math.nan) / largest
    # A derivative that jumps, of a ReLU or of max pooling, may take another branch in float64: then the vector is another model's.
    advice = " If the model's derivative jumps near this image, set dtype=float64 or certify=solver." if dtype == torch.float32 else ""
    return [
        f"fresh products give residuals of up to {fresh_size:.1e} of the largest eigenvalue, "
        f"the solver's own in {name} were {own_size:.1e}.{advice}"
    ]


def _null_space(proposal: RitzPairs, fresh: FreshPairs, n: int, m: int, *, rounding: float, largest: float) -> NullSpace:
    """Return what is known about the null space: n - m zeros from the shapes, and upper bounds by Ritz values (Cauchy's theorem)."""
    below = max(_NUMERICALLY_ZERO, 2 * rounding / largest) if largest > 0 else _NUMERICALLY_ZERO
    count = int((fresh.ritz + rounding <= below * largest).sum()) if fresh.independent else 0
    return NullSpace(
        # F = A^T A has at most the rank of A, and that is at most m.
        dimension_at_least=max(n - m, 0),
        dimension_estimate=None if proposal.null_fraction is None else n * proposal.null_fraction,
        numerically_zero=NumericallyZero(count, below),
    )


def _as_images(A: Operator, vectors: Rows) -> Distortions:
    """Return pixels (k, *image shape), each with its entry of largest magnitude positive."""
    pixels = A.to_pixels(vectors)
    if not len(pixels):
        return pixels if A.images is None else pixels.reshape(0, *A.images.shape[1:])
    # An eigenvector is determined up to its sign; a fixed one makes images of different runs comparable.
    peak = pixels.gather(1, pixels.abs().argmax(dim=1, keepdim=True))
    pixels = torch.where(peak < 0, -pixels, pixels)
    return pixels if A.images is None else pixels.unflatten(1, A.images.shape[1:])
