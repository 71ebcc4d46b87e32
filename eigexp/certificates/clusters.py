"""Neighbouring eigenvalues that cannot be distinguished: only the span of their vectors is determined."""

from dataclasses import dataclass
from itertools import pairwise

from eigexp.certificates.fresh import FreshPairs
from eigexp.pairs import RitzPairs
from eigexp.shapes import Chosen, Eigenindices


@dataclass(frozen=True, order=True)
class _Known:
    """A pair that is known, printed or not."""

    eigenindex: int
    value: float
    residual: float


def find_clusters(
    index: Eigenindices, n: int, top: Chosen, fresh: FreshPairs, proposal: RitzPairs, *, rounding: float
) -> tuple[tuple[int, ...], ...]:
    """Return the groups of neighbouring eigenindices whose gaps do not exceed twice a residual.

    A gap g and a residual r bound the angle between a vector and its eigenvector by r / g, to first order (Parlett 1998, theorem 11.7.1).
    From g = 2 r on the bound is no longer useful: the vectors may be any rotation of each other.

    Args:
        index: eigenindices of the printed pairs.
        n: number of eigenvalues.
        top: which of the printed pairs belong to the largest eigenvalues.
        fresh: the printed pairs.
        proposal: for the neighbours that are known beyond the printed pairs.
        rounding: absolute rounding of the values.
    """
    known = [_Known(*pair) for pair in zip(index.tolist(), fresh.values.tolist(), fresh.residuals.tolist(), strict=True)]
    known += _neighbours(index, n, top, proposal)
    known.sort()
    runs: list[list[int]] = []
    for a, b in pairwise(known):
        if b.eigenindex - a.eigenindex != 1 or not _inseparable(a, b, rounding):
            continue
        if runs and runs[-1][-1] == a.eigenindex:
            runs[-1].append(b.eigenindex)
        else:
            runs.append([a.eigenindex, b.eigenindex])
    return tuple(tuple(run) for run in runs if not set(run).isdisjoint(index.tolist()))


def _neighbours(index: Eigenindices, n: int, top: Chosen, proposal: RitzPairs) -> list[_Known]:
    """Return the next pairs inwards from either end, unless they are printed."""
    printed = set(index.tolist())
    found: list[_Known] = []
    if proposal.next_top is not None and bool(top.any()):
        found.append(_Known(int(index[top][-1]) + 1, *proposal.next_top))
    if proposal.next_bottom is not None and not bool(top.all()):
        found.append(_Known(int(index[~top][0]) - 1, *proposal.next_bottom))
    return [pair for pair in found if 0 <= pair.eigenindex < n and pair.eigenindex not in printed]


def _inseparable(a: _Known, b: _Known, rounding: float) -> bool:
    # The gap of the theorem is from one Ritz value to the other *eigenvalue*, which may be nearer by the other pair's residual. With a gap
    # of 2 r the sine of the angle is at most 1/2, to first order: beyond 30 degrees a vector says little of its eigenvector.
    gap = a.value - b.value
    return gap - b.residual <= 2 * a.residual + rounding or gap - a.residual <= 2 * b.residual + rounding


def uniqueness_notes(clusters: tuple[tuple[int, ...], ...], index: Eigenindices, n: int, m: int) -> list[str]:
    """Return a sentence for every group of printed distortions that are not unique."""
    notes = [_note(cluster, set(index.tolist()), n) for cluster in clusters if cluster[0] < m]  # beyond m all are zero, exactly
    if n - m > 1 and int(index[-1]) >= m:
        notes.append(f"the least noticeable distortion is not unique: at least {n - m} eigenvalues are exactly zero (m={m} < n={n})")
    return notes


def _note(cluster: tuple[int, ...], printed: set[int], n: int) -> str:
    which = "eigenvalues " + " and ".join(map(str, cluster)) if len(cluster) == 2 else f"eigenvalues {cluster[0]} to {cluster[-1]}"
    if cluster[0] == 0:
        subject = "the most noticeable distortion is"
    elif cluster[-1] == n - 1:
        subject = "the least noticeable distortion is"
    else:
        subject = f"distortions {', '.join(str(i) for i in cluster if i in printed)} are"
    return f"{subject} not unique: {which} cannot be distinguished, and linear combinations of their distortions are equally valid"
