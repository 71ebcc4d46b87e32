"""The evidence for the two ends, from a solver's claims and the fresh products."""

import torch

from eigexp.certificates.fresh import FreshPairs
from eigexp.pairs import Evidence, RitzPairs
from eigexp.shapes import Chosen, Eigenindices, Values


def split_ends(index: Eigenindices, proposal: RitzPairs) -> Chosen:
    """Return which pairs belong to the largest eigenvalues; the rest belongs to the smallest. A gap in the indices separates them."""
    k = len(index)
    if proposal.evidence_bottom is None or proposal.evidence_top is None:
        return torch.full((k,), proposal.evidence_bottom is None, dtype=torch.bool)
    # Without a gap the two ends meet; the middle is a convention.
    gaps = (index.diff() > 1).nonzero().flatten().tolist()
    first_bottom = gaps[0] + 1 if gaps else (k + 1) // 2
    return torch.arange(k) < first_bottom


def top_evidence(proposal: RitzPairs, met: Chosen) -> Evidence | None:
    """Return the solver's evidence if every pair meets the tolerance, "unconfirmed" if one does not although the solver had converged.

    Args:
        proposal: the solver's claims.
        met: which of the largest pairs meet the tolerance by fresh products.
    """
    if proposal.evidence_top is None:
        return None
    return proposal.evidence_top if bool(met.all()) else _not_met(proposal.evidence_top)


def bottom_evidence(
    proposal: RitzPairs, values: Values, met: Chosen, *, allowed: float, rounding: float, relative: bool
) -> Evidence | None:
    """Return "proven" where a theorem holds, otherwise the solver's evidence if every pair meets the tolerance.

    F is positive semidefinite, so 0 <= lambda_n <= theta: a Rayleigh quotient within the tolerance of zero proves its eigenvalue to that
    tolerance, whatever the solver knew. Rounding may hide that much, so it is added first.

    Args:
        proposal: the solver's claims.
        values: Rayleigh quotients of the smallest pairs.
        met: which of them meet the tolerance by fresh products.
        allowed: the tolerance, absolute.
        rounding: absolute rounding of the values.
        relative: whether a tolerance relative to the smallest eigenvalue was also requested, which an upper bound cannot prove.
    """
    claimed = proposal.evidence_bottom
    if claimed is None:
        return None
    # The theorem first: it needs values and their rounding, and nothing of the solver's search.
    if bool((values + rounding <= allowed).all()) and (not relative or claimed != "krylov"):
        return "proven"
    if not bool(met.all()):
        return _not_met(claimed)
    if claimed == "proven" and proposal.evidence_top != "proven":
        # The proof was a value near zero, and it has not survived. One that rests on the whole spectrum covers both ends.
        return "converged"
    return claimed


def _not_met(claimed: Evidence) -> Evidence:
    # A solver that reached its step limit is distinguished from one that claims convergence.
    return "budget" if claimed == "budget" else "unconfirmed"


def is_verified(evidence: dict[str, Evidence | None], fresh: FreshPairs) -> bool:
    """Return whether every requested end is proven or has Krylov evidence, and there is at least one pair."""
    asked = [e for e in evidence.values() if e is not None]
    return bool(asked) and len(fresh.values) > 0 and all(e in ("proven", "krylov") for e in asked)
