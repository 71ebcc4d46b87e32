"""Both ends of the spectrum of F = J^T J for a sparse J, with the proof that nothing was overlooked.

The ends come from Lanczos processes, the lower one with F's inverse (ARPACK; Lehoucq, Sorensen and Yang 1998). Then a factorisation counts
the eigenvalues beyond a gap (`inertia`). Vectors whose residuals together have norm R have as many eigenvalues within R of their values,
each with one of its own (Kahan; Parlett 1998, theorem 11.5.1); where no more lie beyond the gap, those are the outermost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import LinearOperator, eigsh

from eigexp.linalg.inertia import count_below, factorised

_DENSE_COORDINATES = 256  # up to which the whole spectrum is made
_EXTRA_PAIRS = 3  # beyond those wanted, to find a gap among
_MOST_EXTRA_PAIRS = 60  # a cluster of more is not worth its search
_UNIT_ROUNDOFF = float(np.finfo(np.float64).eps) / 2


@dataclass(frozen=True)
class End:
    """Pairs of one end, outermost first.

    Attributes:
        values: |J z|^2 (k,).
        vectors: orthonormal rows (k, n).
        margin: an eigenvalue of this end differs from its value by no more; None where that is not proven.
        next: value and residual of the pair beyond these, or None.
    """

    values: np.ndarray
    vectors: np.ndarray
    margin: float | None
    next: tuple[float, float] | None = None

    def first(self, J: Any, k: int, margin: float | None) -> "End":
        """Return the k outermost."""
        beyond = (float(self.values[k]), self.spread(J, slice(k, k + 1))) if len(self.values) > k else None
        return End(self.values[:k], self.vectors[:k], margin, beyond)

    def reversed(self) -> "End":
        """Return the end from the other side."""
        return End(self.values[::-1], self.vectors[::-1], self.margin)

    def spread(self, J: Any, which: slice) -> float:
        """Return the norm of the residuals of some pairs together."""
        vectors = self.vectors[which].T
        return float(np.linalg.norm(J.T @ (J @ vectors) - vectors * self.values[which]))


def ends(J: Any, k: int, start: np.ndarray) -> tuple[End, End]:
    """Return the k largest and the k smallest eigenpairs of J^T J, largest first and smallest first.

    Args:
        J: sparse matrix (m, n).
        k: number of pairs at each end.
        start: vector (n,) that the Lanczos processes begin with.
    """
    F = (J.T @ J).tocsc()
    n, doubt = F.shape[0], _rounding(J)
    if n <= max(_DENSE_COORDINATES, 4 * (k + _EXTRA_PAIRS)):
        whole = _end(J, np.linalg.eigh(F.toarray())[1], top=True)
        return whole.first(J, k, doubt), whole.reversed().first(J, k, doubt)
    # Near zero F has tiny, crowded eigenvalues: Lanczos finds them as the largest of the inverse, where they lie far apart.
    inverse = _inverse(F, doubt)
    upper = _proven(J, F, k, doubt, True, lambda size: eigsh(F, size, which="LA", v0=start)[1])
    lower = _proven(J, F, k, doubt, False, lambda size: eigsh(F, size, sigma=0.0, OPinv=inverse, v0=start)[1])
    return upper, lower


def _proven(J: Any, F: Any, k: int, doubt: float, top: bool, search: Callable[[int], np.ndarray]) -> End:
    """Return an end with more pairs than wanted, until there is a gap beyond which a count finds nothing else."""
    size = k + _EXTRA_PAIRS
    while True:
        found = _end(J, search(min(size, F.shape[0] - 1)), top)
        if not top and found.values[k - 1] <= doubt:  # F is positive semidefinite: nothing is below zero
            return found.first(J, k, float(found.values[k - 1]) + doubt)
        # The widest gap from the k-th value on: a count is taken in its middle, as far as possible from the eigenvalues.
        gaps = np.abs(np.diff(found.values))[k - 1 :]
        inside, gap = k + int(gaps.argmax()), float(gaps.max())
        count = count_below(F, float(found.values[inside - 1] + found.values[inside]) / 2)
        # Kahan's theorem: as many eigenvalues lie within `spread` of the values inside. If the count is the same, these are they.
        spread = found.spread(J, slice(inside))
        outside = 0 if count is None else F.shape[0] - count.below if top else count.below
        if count is not None and outside == inside and spread + doubt + count.error < gap / 2:
            return found.first(J, k, spread + doubt)
        # The count says how many there are; at least as many are sought next time.
        size = max(2 * size, outside + _EXTRA_PAIRS)
        if size > k + _MOST_EXTRA_PAIRS:
            return found.first(J, k, _margin_by_counts(J, F, found, k, doubt, top))


def _margin_by_counts(J: Any, F: Any, found: End, k: int, doubt: float, top: bool) -> float | None:
    """Return a proven margin where there is no gap: at most i eigenvalues lie beyond the i-th value by more than it; else None.

    From the other side Cauchy's interlacing theorem bounds them. A factorisation a pair; so this comes last.
    """
    margin, errors = 2 * (found.spread(J, slice(k)) + doubt), []
    for i, value in enumerate(found.values[:k]):
        count = count_below(F, float(value) + (margin if top else -margin))
        if count is None or (F.shape[0] - count.below if top else count.below) > i:
            return None
        errors.append(count.error)
    return margin + doubt + max(errors)


def _end(J: Any, columns: np.ndarray, top: bool) -> End:
    """Return the best pairs in the span of orthonormal columns (n, k)."""
    # ARPACK's vectors of a cluster are orthogonal to its tolerance only.
    basis = np.linalg.qr(columns)[0]
    images = J @ basis
    images = np.pad(images, ((0, max(0, images.shape[1] - len(images))), (0, 0)))  # so that every column has a singular value
    # The singular values of J V, not the eigenvalues of V^T F V: squares of small ones would be lost in rounding.
    _, singular, rotation = np.linalg.svd(images, full_matrices=False)
    end = End(singular**2, rotation @ basis.T, None)
    return end if top else end.reversed()


def _inverse(F: Any, shift: float) -> LinearOperator:
    """Return the inverse of F, shifted by a rounding so that there is one."""
    make: Any = LinearOperator  # whose type takes the place of its subclasses' arguments
    return make(F.shape, factorised(F + shift * sparse.identity(F.shape[0], format="csc")).solve, dtype=np.float64)


def _rounding(J: Any) -> float:
    """Return a bound of the rounding in J^T J as it was multiplied: d u |J|^T |J|, with d the longest column."""
    size = abs(J)
    return int(np.diff(J.tocsc().indptr).max()) * _UNIT_ROUNDOFF * float(size.sum(axis=0).max() * size.sum(axis=1).max())
