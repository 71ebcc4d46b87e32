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

_DENSE = 256  # coordinates up to which the whole spectrum is made
_MORE = 3  # pairs beyond those wanted, to find a gap among
_MOST = 60  # the same, at most: a larger cluster is not worth its proof
_UNIT = float(np.finfo(np.float64).eps) / 2


@dataclass(frozen=True)
class End:
    """Pairs of one end, outermost first.

    Attributes:
        values: |J z|^2 (k,).
        vectors: orthonormal rows (k, n).
        margin: an eigenvalue of this end differs from its value by no more; None where that is not proven.
    """

    values: np.ndarray
    vectors: np.ndarray
    margin: float | None

    def first(self, k: int, margin: float | None) -> "End":
        """The k outermost."""
        return End(self.values[:k], self.vectors[:k], margin)

    def reversed(self) -> "End":
        """From the other side."""
        return End(self.values[::-1], self.vectors[::-1], self.margin)

    def spread(self, J: Any, k: int) -> float:
        """Norm of the residuals of the k outermost together."""
        vectors = self.vectors[:k].T
        return float(np.linalg.norm(J.T @ (J @ vectors) - vectors * self.values[:k]))


def ends(J: Any, k: int, start: np.ndarray) -> tuple[End, End]:
    """The k largest and the k smallest eigenpairs of J^T J, largest first and smallest first.

    Args:
        J: sparse matrix (m, n).
        k: number of pairs at each end.
        start: vector (n,) that the Lanczos processes begin with.
    """
    F = (J.T @ J).tocsc()
    n, doubt = F.shape[0], _rounding(J)
    if n <= max(_DENSE, 4 * (k + _MORE)):
        whole = _end(J, np.linalg.eigh(F.toarray())[1], top=True)
        return whole.first(k, doubt), whole.reversed().first(k, doubt)
    inverse = _inverse(F, doubt)
    upper = _proven(J, F, k, doubt, True, lambda size: eigsh(F, size, which="LA", v0=start)[1])
    lower = _proven(J, F, k, doubt, False, lambda size: eigsh(F, size, sigma=0.0, OPinv=inverse, v0=start)[1])
    return upper, lower


def _proven(J: Any, F: Any, k: int, doubt: float, top: bool, search: Callable[[int], np.ndarray]) -> End:
    """An end with more pairs than wanted, until there is a gap beyond which a count finds nothing else."""
    size = k + _MORE
    while True:
        found = _end(J, search(min(size, F.shape[0] - 1)), top)
        if not top and found.values[k - 1] <= doubt:  # F is positive semidefinite: nothing is below zero
            return found.first(k, float(found.values[k - 1]) + doubt)
        gaps = np.abs(np.diff(found.values))[k - 1 :]
        inside, gap = k + int(gaps.argmax()), float(gaps.max())
        count = count_below(F, float(found.values[inside - 1] + found.values[inside]) / 2)
        spread = found.spread(J, inside)
        outside = 0 if count is None else F.shape[0] - count.below if top else count.below
        if count is not None and outside == inside and spread + doubt + count.error < gap / 2:
            return found.first(k, spread + doubt)
        size = max(2 * size, outside + _MORE)
        if size > k + _MOST:
            return found.first(k, None)


def _end(J: Any, columns: np.ndarray, top: bool) -> End:
    """The best pairs in the span of orthonormal columns (n, k)."""
    basis = np.linalg.qr(columns)[0]
    images = J @ basis
    images = np.pad(images, ((0, max(0, images.shape[1] - len(images))), (0, 0)))  # so that every column has a singular value
    _, singular, rotation = np.linalg.svd(images, full_matrices=False)
    end = End(singular**2, rotation @ basis.T, None)
    return end if top else end.reversed()


def _inverse(F: Any, shift: float) -> LinearOperator:
    """The inverse of F, shifted by a rounding so that there is one."""
    make: Any = LinearOperator  # whose type takes the place of its subclasses' arguments
    return make(F.shape, factorised(F + shift * sparse.identity(F.shape[0], format="csc")).solve, dtype=np.float64)


def _rounding(J: Any) -> float:
    """A bound of the rounding in J^T J as it was multiplied: d u |J|^T |J|, with d the longest column."""
    size = abs(J)
    return int(np.diff(J.tocsc().indptr).max()) * _UNIT * float(size.sum(axis=0).max() * size.sum(axis=1).max())
