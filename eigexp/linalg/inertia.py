"""Count the eigenvalues of a sparse symmetric matrix below a number, by Sylvester's law of inertia, with a bound on rounding."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import SuperLU, splu

_UNIT_ROUNDOFF = float(np.finfo(np.float64).eps) / 2


@dataclass(frozen=True)
class Count:
    """The number of eigenvalues below a given value.

    Attributes:
        below: number of eigenvalues.
        error: bound on rounding: a counted eigenvalue is below number + error, and one that is not counted is above number - error.
    """

    below: int
    error: float


def factorised(matrix: Any) -> SuperLU:
    """Factorise a symmetric sparse matrix (n, n) as P (matrix) P^T = L U, with diagonal pivots and an ordering that limits fill-in.

    Raises:
        RuntimeError: if a pivot is exactly zero.
    """
    return splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})


def count_below(matrix: Any, number: float) -> Count | None:
    """Count the eigenvalues of a sparse symmetric matrix (n, n) below a number; None where the factorisation gives no answer.

    Sylvester's law of inertia: L D L^T has as many negative eigenvalues as D has negative entries. The product differs from
    matrix - number by two terms: the backward error A - L U, at most g |L| |U| entry by entry with g = d u / (1 - d u), d the longest
    inner product and u the unit roundoff (Higham 2002, theorem 9.3), and L (U - D L^T), which is computed. Their norms bound how far the
    eigenvalues moved (Weyl).
    """
    n = matrix.shape[0]
    try:
        factors = factorised(matrix - number * sparse.identity(n, format="csc"))
    except RuntimeError:
        return None
    # A pivot off the diagonal makes P A Q of it, which is not a congruence: the signs of the pivots are then meaningless.
    if not np.array_equal(factors.perm_r, factors.perm_c):
        return None
    L, U = factors.L, factors.U
    pivots = U.diagonal()
    asymmetry = U.T.tocsc() - L @ sparse.diags(pivots)
    terms = _UNIT_ROUNDOFF * int(np.diff(L.tocsr().indptr).max())
    error = terms / (1 - terms) * _norm_of_product(L, U) + _norm_of_product(L, asymmetry.T)
    return Count(int((pivots < 0).sum()), error)


def _norm_of_product(left: Any, right: Any) -> float:
    """Return a bound on the spectral norm of |left| |right|: the geometric mean of its largest row sum and its largest column sum."""
    left, right, ones = abs(left), abs(right), np.ones(left.shape[0])
    return float((left @ (right @ ones)).max() * (right.T @ (left.T @ ones)).max()) ** 0.5
