"""Intervals of eigenvalues: by interlacing on the inner side, by residuals and the solver's margins on the outer."""

import torch

from eigexp.certificates.fresh import FreshPairs
from eigexp.pairs import Evidence, RitzPairs
from eigexp.shapes import Chosen, Intervals

_VERIFIED = ("proven", "krylov")


def intervals(
    proposal: RitzPairs, fresh: FreshPairs, top: Chosen, evidence: dict[str, Evidence | None], *, rounding: float, shift: float
) -> Intervals:
    """Return lower and upper bounds of each eigenvalue, shape (k, 2).

    Inner side (below the largest, above the smallest): Ritz values are bounds by Cauchy's theorem. Outer side: each value has its own
    eigenvalue within `fresh.reach`; the evidence says that it is the one with this index, up to the margin that the solver left.
    Without such evidence, both sides are as wide as the reach.

    Args:
        proposal: for the solver's margins.
        fresh: values and their bounds.
        top: which pairs belong to the largest eigenvalues.
        evidence: of both ends.
        rounding: absolute rounding of the values.
        shift: how far the solver's values are from these, because it searched for further eigenvalues in another number format.
    """
    # Twice the rounding: once for the value and once for the Ritz value that is subtracted from it.
    below, above = torch.full_like(fresh.values, 2 * rounding), torch.full_like(fresh.values, 2 * rounding)
    # Cauchy: the j-th largest Ritz value is a lower bound of lambda_j, the j-th smallest an upper bound of the j-th smallest.
    below[top] += (fresh.values - fresh.ritz)[top].clamp(min=0.0)
    above[~top] += (fresh.ritz - fresh.values)[~top].clamp(min=0.0)
    # Weinstein and Kahan: each value has an eigenvalue of its own within its reach.
    above[top] += fresh.reach[top].clamp(min=proposal.top_margin) + shift
    below[~top] += fresh.reach[~top].clamp(min=proposal.bottom_margin) + shift
    # Without evidence that this eigenvalue is the j-th, only its distance is known: on both sides.
    if evidence["top"] not in _VERIFIED:
        below[top] += fresh.reach[top]
    if evidence["bottom"] not in _VERIFIED:
        above[~top] += fresh.reach[~top]
    # F is positive semidefinite: no eigenvalue is negative.
    lower, upper = (fresh.values - below).clamp(min=0.0), fresh.values + above
    if evidence["bottom"] == "proven" and evidence["top"] != "proven":
        lower[~top] = 0.0  # the proof is 0 <= lambda <= theta; it does not say how much smaller lambda is
    return torch.stack([lower, upper], dim=1)
