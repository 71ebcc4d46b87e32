"""Certified pairs of a problem whose eigenvalues are ratios v^T F v / v^T M v."""

from dataclasses import replace

import torch

from eigexp.certificates.fresh import FreshPairs, with_bounds
from eigexp.operators.base import Operator
from eigexp.operators.pair import PairOperator
from eigexp.pairs import EigenPairs, RitzPairs
from eigexp.subspace.metric import MetricSubspace

_BLIND = 0.5  # share of the floor in v^T M v from which it, and not the second model, sets the ratio


def fresh_ratios(A: PairOperator, proposal: RitzPairs) -> FreshPairs:
    """Return values, residuals and bounds of the proposed vectors of a pair of models, by one product each with both models."""
    V = proposal.vectors.to(A.dtype)
    u, w = A.inner.apply(V[None]), A.second.apply(V[None])
    FV, MV = A.inner.adjoint(u)[0], A.second.adjoint(w)[0] + A.floor * V
    # <B v, B v> + floor <v, v> and <A v, A v>: positive, and more precise than <v, M v> and <v, F v> where they are small.
    squared = w[0].square().sum(1) + A.floor * V.square().sum(1)
    values = u[0].square().sum(1) / squared
    order = torch.argsort(values, descending=True, stable=True)
    V, FV, MV = (rows[order] / squared[order].sqrt()[:, None] for rows in (V, FV, MV))
    return with_bounds(order, V, FV, values[order], {}, MV, A.floor)


def as_ratios(pairs: EigenPairs, A: Operator) -> EigenPairs:
    """Return the pairs with distortions of unit Euclidean norm, and intervals widened by the error of the metric.

    With ||M^(-1/2) M M^(-1/2) - I|| <= e, every eigenvalue lies within [1 / (1 + e), 1 / (1 - e)] of the computed one (Ostrowski 1959).

    Args:
        pairs: of vectors v with v^T M v = 1.
        A: the pairs are returned unchanged unless it is a `PairOperator`, or has a `MetricSubspace`.
    """
    metric = A.subspace if isinstance(A.subspace, MetricSubspace) else None
    if metric is None and not isinstance(A, PairOperator):
        return pairs
    e, floor = (0.0, A.floor) if isinstance(A, PairOperator) else (metric.error, metric.floor) if metric else (0.0, None)
    v = pairs.eigendistortions
    norms = torch.linalg.vector_norm(v.flatten(1), dim=1).double().cpu()
    low, high = pairs.intervals.unbind(1)
    notes = ["eigenvalues and residuals are ratios v^T F v / v^T M v, in units of the norm; distortions have unit norm in pixels"]
    return replace(
        pairs,
        eigendistortions=v / norms.to(v).view(-1, *[1] * (v.ndim - 1)),
        intervals=torch.stack([low / (1 + e), high / (1 - e)], dim=1),
        notes=(*pairs.notes, *notes, *_findings(pairs, norms, floor)),
    )


def _findings(pairs: EigenPairs, norms: torch.Tensor, floor: float | None) -> list[str]:
    """Return a sentence for each of the largest distortions to which the second model hardly responds: v^T M v = 1 is nearly all floor."""
    found = []
    for i, index in enumerate(pairs.eigenindex.tolist()):
        share = 0.0 if floor is None else floor * float(norms[i]) ** 2
        if share > _BLIND and index < pairs.n // 2:
            own = max(0.0, (1 - share)) / float(norms[i]) ** 2
            found.append(
                f"the second model hardly responds to distortion {index}: its sensitivity is {own:.2g}, below floor={floor:g}; "
                "with a smaller floor the ratio increases, and without a floor it may be unbounded"
            )
    return found
