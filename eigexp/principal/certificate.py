"""What is certain about principal distortions: fresh values, the upper bound by pairs of models, and slope and curvature.

The value is attained, so it is a lower bound of the maximum. Two models reach the upper bound; then the answer is proven.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eigexp.pairs import EigenPairs, Evidence, NullSpace
from eigexp.principal.models import ModelsOperator
from eigexp.principal.objective import deviations, group_ratios, largest_curvature, slopes, upper_bound, value_and_gradient
from eigexp.solvers.base import Progress

_ROUNDING = 1e-12  # relative, of a ratio
_EQUAL = 1e-9  # relative distance of value and bound up to which the value is the maximum


def certified(
    A: ModelsOperator, uv: Float[Tensor, "two n"], progress: Progress, method: str, tol: float, reached: Sequence[float]
) -> EigenPairs:
    """Return two directions with what fresh products say about them.

    The interval of each ratio goes from the ratio to the one at which the variance, with the other ratio, would be its upper bound.

    Args:
        A: the models.
        uv: the directions.
        progress: of the solver.
        method: name of the solver.
        tol: largest slope that was requested.
        reached: values at the ends of the search's climbs.
    """
    uv = uv.to(A.metrics)
    uv = uv / uv.norm(dim=1, keepdim=True)
    products = A.fresh(uv)
    logs = (products * uv).sum(2).log()
    if float(deviations(logs)[0]) < 0:
        uv, products, logs = uv.flip(0), products.flip(1), logs.flip(1)
    value, gradient = value_and_gradient(products, uv)
    slope, ratios = slopes(value, gradient, uv).cpu(), group_ratios(logs).cpu()
    bound = upper_bound([ratios for ratios, _, _ in A.extremes], [error for _, _, error in A.extremes], A.num_models)
    met = bool((slope <= tol).all())
    proven = bound <= value * (1 + _EQUAL)
    evidence: Evidence = "proven" if proven else "converged" if met else "budget"
    finished = progress.status == "converged"
    facts = {
        "log_sensitivities": logs.cpu(),
        "value": value,
        "bound": bound,
        "gradient": float(gradient.norm()),
        "curvature": largest_curvature(A.metrics.cpu(), uv.cpu()),
        "restarts": tuple(sorted(reached, reverse=True)),
        "evaluations": progress.steps,
        "products": sum(min(source.shape.m, source.shape.n) for source in A.sources),
    }
    return EigenPairs(
        eigenindex=torch.tensor([0, A.shape.n - 1]),
        eigenvalues=ratios,
        eigendistortions=_as_images(A, uv),
        residuals=ratios * slope,
        intervals=_intervals(ratios, max(0.0, math.sqrt(max(bound, 0.0)) - math.sqrt(value))),
        clusters=(),
        null_space=NullSpace(0, None),
        evidence={"top": evidence, "bottom": evidence},
        verified=proven,
        status="budget" if not finished else "converged" if met else "unconfirmed",
        tolerances={"asked": {"tol": tol, "bottom_rtol": tol}, "met": {"tol": met, "bottom_rtol": met}},
        method=method,
        n=A.shape.n,
        m=A.num_responses,
        fisher_vector_products=progress.fisher_vector_products + 2,
        steps=progress.steps,
        notes=(_note(value, bound),),
        facts={"principal": facts},
    )


def _note(value: float, bound: float) -> str:
    share = value / bound if bound > 0 else 1.0
    return f"principal distortions: the variance {value:.5g} is at least {share:.1%} of the maximum, which is at most {bound:.5g}"


def _intervals(ratios: Tensor, gap: float) -> Tensor:
    """Return the intervals, in which 1/2 ln(high of u / low of v) is the root of the bound."""
    (u, v), down, up = ratios.tolist(), 1 - _ROUNDING, 1 + _ROUNDING
    return torch.tensor([[down * u, up * u * math.exp(gap)], [down * v * math.exp(-gap), up * v]], dtype=torch.float64)


def _as_images(A: ModelsOperator, uv: Tensor) -> Any:
    pixels = A.to_pixels(uv)
    peak = pixels.gather(1, pixels.abs().argmax(dim=1, keepdim=True))
    pixels = torch.where(peak < 0, -pixels, pixels)
    return pixels if A.images is None else pixels.unflatten(1, A.images.shape[1:])
