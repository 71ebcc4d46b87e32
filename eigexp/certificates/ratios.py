"""Certified pairs of a problem whose eigenvalues are ratios v^T F v / v^T M v."""

from dataclasses import replace

import torch

from eigexp.pairs import EigenPairs
from eigexp.subspace import PixelSubspace
from eigexp.subspace.metric import MetricSubspace

_BLIND = 0.5  # share of the floor in v^T M v from which it, and not the second model, sets the ratio


def as_ratios(pairs: EigenPairs, subspace: PixelSubspace | None) -> EigenPairs:
    """Return the pairs with distortions of unit Euclidean norm, and intervals widened by the error of the metric.

    With ||M^(-1/2) M M^(-1/2) - I|| <= e, every eigenvalue lies within [1 / (1 + e), 1 / (1 - e)] of the computed one (Ostrowski 1959).

    Args:
        pairs: of coordinates z with v = P M^(-1/2) z.
        subspace: the pairs are returned unchanged unless it is a `MetricSubspace`.
    """
    if not isinstance(subspace, MetricSubspace):
        return pairs
    e = subspace.error
    v = pairs.eigendistortions
    norms = torch.linalg.vector_norm(v.flatten(1), dim=1).double().cpu()
    low, high = pairs.intervals.unbind(1)
    notes = ["eigenvalues and residuals are ratios v^T F v / v^T M v, in units of the norm; distortions have unit norm in pixels"]
    return replace(
        pairs,
        eigendistortions=v / norms.to(v).view(-1, *[1] * (v.ndim - 1)),
        intervals=torch.stack([low / (1 + e), high / (1 - e)], dim=1),
        notes=(*pairs.notes, *notes, *_findings(pairs, norms, subspace.floor)),
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
