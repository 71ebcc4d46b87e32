"""How many eigenvalues of a sparse symmetric matrix lie below a number: by a factorisation, and so as a theorem."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import SuperLU, splu

_UNIT = float(np.finfo(np.float64).eps) / 2


@dataclass(frozen=True)
class Count:
    """How many eigenvalues lie below a number.

    Attributes:
        below: how many.
        doubt: by how much an eigenvalue that is counted may be above the number, or one that is not below it; for rounding.
    """

    below: int
    doubt: float


def factorised(matrix: Any) -> SuperLU:
    """P (matrix) P^T = L U with pivots from the diagonal, of a symmetric matrix (n, n); an ordering for few entries.

    Raises:
        RuntimeError: if a pivot is exactly zero.
    """
    return splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})


def count_below(matrix: Any, number: float) -> Count | None:
    """The eigenvalues of a sparse symmetric matrix (n, n) below a number; None where the factorisation does not say.

    Sylvester's law of inertia: L D L^T has as many negative eigenvalues as D has negative entries. It differs from matrix - number by what
    the factors leave, A - L U, at most g |L| |U| entry by entry with g = d u / (1 - d u), d the longest inner product and u the unit of
    rounding (Higham 2002, theorem 9.3), and by L (U - D L^T), which is known. The norm of both bounds how far eigenvalues moved.
    """
    n = matrix.shape[0]
    try:
        factors = factorised(matrix - number * sparse.identity(n, format="csc"))
    except RuntimeError:
        return None
    if not np.array_equal(factors.perm_r, factors.perm_c):  # a pivot off the diagonal: no congruence
        return None
    L, U = factors.L, factors.U
    pivots = U.diagonal()
    asymmetry = U.T.tocsc() - L @ sparse.diags(pivots)
    terms = _UNIT * int(np.diff(L.tocsr().indptr).max())
    doubt = terms / (1 - terms) * _norm_of_product(L, U) + _norm_of_product(L, asymmetry.T)
    return Count(int((pivots < 0).sum()), doubt)


def _norm_of_product(left: Any, right: Any) -> float:
    """A bound of the spectral norm of |left| |right|: the geometric mean of its largest row and column sums."""
    left, right, ones = abs(left), abs(right), np.ones(left.shape[0])
    return float((left @ (right @ ones)).max() * (right.T @ (left.T @ ones)).max()) ** 0.5
