"""A few more float64 products for smallest pairs whose values are hidden by the rounding of a float32 solver.

With float32 vectors, a smallest eigenvalue that is zero or nearly so has a value of 1e-16 to 1e-10 lambda_1: the Rayleigh quotient of their
rounding. Since 0 <= lambda_n <= theta whatever the vector, any vector with a smaller quotient is a better bound. LOBPCG without a
preconditioner (Knyazev 2001) lowers the quotients of a block at once: Rayleigh-Ritz in the span of the vectors, their residuals, and the
directions of the step before, in an orthonormal basis (Hetmaniuk and Lehoucq 2006). The first step has the constant and the image as
well: models with gain control are blind to a combination of the two, which float32 holds to seven digits only.
"""

import torch
from torch import Tensor

from eigexp.certificates.fresh import NUM_KEPT, FreshPairs, with_bounds
from eigexp.operators.base import Operator
from eigexp.solvers.krylov.initial_vectors import structured_vectors

_ENOUGH = 1e-12  # of lambda_1: a bound of a smallest eigenvalue that needs no improvement
_ROUNDING_AT_MOST = 1e-8  # of lambda_1: float32's rounding leaves up to 1e-10, a residual of the default tol=1e-4 up to tol^2 = 1e-8
_MAX_PRODUCTS = 4  # a pair
_FALLING = 0.9  # the quotients after a step relative to those before, at most, for another step


def refined(A: Operator, fresh: FreshPairs, num_bottom: int, *, largest: float, rounding: float) -> tuple[FreshPairs, float]:
    """Return the pairs, with improved smallest ones where rounding hides their values, and the number of products spent.

    Args:
        A: operator of one image, in float64.
        fresh: pairs of a solver in a less precise dtype.
        num_bottom: how many of them are smallest ones.
        largest: lambda_1.
        rounding: absolute rounding of the values.
    """
    k, n = fresh.vectors.shape
    hidden = int((fresh.values[k - num_bottom :] <= _ROUNDING_AT_MOST * largest).sum())
    # Of n - m eigenvalues that are zero by the shapes alone, no bound needs to be known.
    p = min(hidden, NUM_KEPT)
    enough = _ENOUGH * largest - 2 * rounding
    if not p or n > A.num_responses or float(fresh.values[k - p]) <= enough:
        return fresh, 0.0
    patterns = structured_vectors(A, 0, 0)
    if 3 * p + len(patterns) > n:  # of so few coordinates a solver takes the whole space
        return fresh, 0.0
    AV = torch.stack([fresh.forward[i] for i in range(k - p, k)])
    V, AV, FV, products = _refine(A, fresh.vectors[k - p :], AV, fresh.images[k - p :], patterns, enough)
    values = torch.cat([fresh.values[: k - p].to(V), AV.square().sum(1)])
    vectors, images = torch.cat([fresh.vectors[: k - p], V]), torch.cat([fresh.images[: k - p], FV])
    forward = {**fresh.forward, **{k - p + j: AV[j] for j in range(p)}}
    return with_bounds(fresh.order, vectors, images, values, forward), products


def _refine(A: Operator, V: Tensor, AV: Tensor, FV: Tensor, patterns: Tensor, enough: float) -> tuple[Tensor, Tensor, Tensor, float]:
    """Return better unit rows V (p, n) with A V and F V, their quotients decreasing, and the products spent."""
    p, spent, before = len(V), 0.0, torch.inf
    L = torch.linalg.cholesky(V @ V.T)  # float32 vectors are orthonormal to 1e-7 only
    S, AS, FV = (torch.linalg.solve_triangular(L, B, upper=False) for B in (V, AV, FV))
    theta = AS.square().sum(1)
    more = patterns if p + len(patterns) / 2 <= _MAX_PRODUCTS * p else patterns[:0]
    # A quotient that no longer falls is an eigenvalue, and not rounding.
    while spent + p <= _MAX_PRODUCTS * p and float(theta.max()) > enough and float(theta.sum()) <= _FALLING * before:
        before = float(theta.sum())
        W = _new_part(torch.cat([FV - theta[:, None] * S[:p], more]), S)
        S, AS = torch.cat([S, W]), torch.cat([AS, A.apply(W[None])[0]])
        best = torch.linalg.eigh(AS @ AS.T).eigenvectors.T[:p].flip(0)
        moved = best.clone()
        moved[:, :p] = 0.0  # the part of each new vector that is not in the old ones: the direction of this step
        # S is orthonormal, so that coefficients are made orthonormal in place of vectors.
        basis = torch.linalg.qr(torch.cat([best, moved]).T).Q.T
        S, AS = basis @ S, basis @ AS
        theta, FV = AS[:p].square().sum(1), A.adjoint(AS[None, :p])[0]
        spent, more = spent + p + len(more) / 2, more[:0]
    return S[:p], AS[:p], FV, spent


def _new_part(R: Tensor, S: Tensor) -> Tensor:
    """Return orthonormal rows for the part of R that is orthogonal to the orthonormal rows S."""
    # Twice: the first pass leaves rounding of the size of what it removes.
    for _ in range(2):
        R = torch.linalg.qr((R - (R @ S.T) @ S).T).Q.T
    return R
