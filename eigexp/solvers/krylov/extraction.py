"""The wanted pairs that a space holds.

By Rayleigh-Ritz at both ends; and, where the bottom values are within the tolerance of zero already, by the vectors that F shrinks most.
A space holds a vector with ||F z|| <= tol lambda_1 long before its smallest Ritz pair has such a residual, and that norm settles all that
is asked of a bottom pair: both z^T F z and the residual ||F z - theta z|| are at most ||F z||. (Compare the refined Ritz vectors of Jia
1997, which minimise ||F z - theta z|| for a given theta.)
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from eigexp.solvers.both_ends import Wanted
from eigexp.solvers.krylov.space import KrylovSpace


@dataclass(frozen=True)
class Extraction:
    """Approximate pairs of a space, by rank.

    Attributes:
        eigenindex: (k,).
        coefficients: of their vectors in the space (k, d), float64.
        values: Rayleigh quotients (k,), float64.
    """

    eigenindex: Tensor
    coefficients: Tensor
    values: Tensor


def ritz_pairs(space: KrylovSpace, wanted: Wanted) -> Extraction:
    """Return the wanted Ritz pairs, as many as the space holds."""
    eigenindex, positions = wanted.held(len(space))
    return Extraction(eigenindex, space.vectors[positions], space.values[positions])


def shrunk_pairs(space: KrylovSpace, wanted: Wanted) -> tuple[Extraction, float]:
    """Return the wanted pairs, with a bottom of the vectors that F shrinks most, and the largest ||F z|| among those.

    The bottom is sought among the Ritz vectors outside the wanted top, so that it is orthogonal to it in both inner products.

    Args:
        space: with its Gram matrix, and at least as large as what is wanted.
        wanted: bottom > 0.
    """
    pairs = ritz_pairs(space, wanted)
    tops = int((pairs.eigenindex < wanted.top).sum())
    k = len(pairs.eigenindex) - tops
    others, values = space.vectors[tops:], space.values[tops:]
    # For z = c V, ||F z||^2 = c G G^T c^T: the smallest eigenvectors of G G^T are what F shrinks most.
    squares, columns = torch.linalg.eigh(others @ space.gram @ others.T)
    span = columns.T[:k]
    # Rayleigh-Ritz once more, within those: the pairs must be orthogonal with respect to F too.
    theta, rotation = torch.linalg.eigh((span * values) @ span.T)
    bottom = rotation.T.flip(0) @ span @ others
    extraction = Extraction(
        pairs.eigenindex, torch.cat([pairs.coefficients[:tops], bottom]), torch.cat([pairs.values[:tops], theta.flip(0)])
    )
    return extraction, float(squares[k - 1].clamp(min=0.0).sqrt())
