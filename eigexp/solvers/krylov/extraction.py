"""The wanted pairs that a space holds.

By Rayleigh-Ritz at both ends; and, where the bottom values are within the tolerance of zero already, by the vectors that F shrinks most.
A space holds a vector with ||F z|| <= tol lambda_1 long before its smallest Ritz pair has such a residual, and that norm settles all that
is asked of a bottom pair: both z^T F z and the residual ||F z - theta z|| are at most ||F z||. (Compare the refined Ritz vectors of Jia
1997, which minimise ||F z - theta z|| for a given theta.)
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eigexp.linalg.threads import single_threaded
from eigexp.solvers.both_ends import Wanted
from eigexp.solvers.krylov.space import Array, KrylovSpace

_EXTRACTION, _ORTHOGONALISATION, _PRODUCT = 1.0, 0.4, 75.0  # times of d^3, n d and n, relative to one another; measured on one core
_MOST_LATE = 1 / 16  # of the vectors of a space: products that may be spent after its pairs have converged


def extraction_is_due(d: int, n: int) -> bool:
    """Return whether the pairs of a space of d vectors (n,) are to be extracted.

    Always where that costs less than a step; else as often as it costs as much as the steps in between. By sizes, not by timings, so that
    each run takes the same steps.
    """
    steps = min(_EXTRACTION * d**3 / (n * (_ORTHOGONALISATION * d + _PRODUCT)), _MOST_LATE * d)
    return steps < 2 or d % int(steps) == 0


@dataclass(frozen=True)
class Extraction:
    """Approximate pairs of a space, by rank.

    Attributes:
        eigenindex: (k,).
        coefficients: of their vectors in the space (k, d).
        values: Rayleigh quotients (k,).
    """

    eigenindex: NDArray[np.int64]
    coefficients: Array
    values: Array


def ritz_pairs(space: KrylovSpace, wanted: Wanted) -> Extraction:
    """Return the wanted Ritz pairs, as many as the space holds."""
    eigenindex, positions = wanted.held(len(space))
    return Extraction(eigenindex, space.vectors[positions], space.values[positions])


@single_threaded
def shrunk_pairs(space: KrylovSpace, wanted: Wanted) -> tuple[Extraction, float]:
    """Return the wanted pairs, with a bottom of the vectors that F shrinks most, and the largest ||F z|| among those.

    The bottom is sought among the Ritz vectors outside the wanted top, so that it is orthogonal to it in both inner products.

    Args:
        space: at least as large as what is wanted.
        wanted: bottom > 0.
    """
    pairs = ritz_pairs(space, wanted)
    tops = int((pairs.eigenindex < wanted.top).sum())
    k = len(pairs.eigenindex) - tops
    others, values = space.vectors[tops:], space.values[tops:]
    # For z = c V, ||F z||^2 = c S c^T with S = <F V, F V>: its smallest eigenvectors are what F shrinks most.
    squares, columns = np.linalg.eigh(others @ space.squares() @ others.T)
    span = columns.T[:k]
    # Rayleigh-Ritz once more, within those: the pairs must be orthogonal with respect to F too.
    theta, rotation = np.linalg.eigh((span * values) @ span.T)
    bottom = rotation.T[::-1] @ span @ others
    extraction = Extraction(
        pairs.eigenindex, np.concatenate([pairs.coefficients[:tops], bottom]), np.concatenate([pairs.values[:tops], theta[::-1]])
    )
    return extraction, math.sqrt(max(float(squares[k - 1]), 0.0))
