"""Values and residuals of proposed vectors from fresh products, and the bounds on eigenvalues that follow."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from eigexp.operators.base import Operator
from eigexp.pairs import RitzPairs
from eigexp.shapes import Rows, Values

NUM_KEPT = 8  # pairs of each end whose A v are kept
_CHUNK = 64
_LARGEST_SPECTRAL_NORM = 512  # of more residuals together the Frobenius norm bounds the spectral norm at less cost


@dataclass(frozen=True)
class FreshPairs:
    """Pairs of one image by fresh products, in the order of their eigenindices.

    Attributes:
        vectors: unit rows (k, n), float64: directions of the proposed vectors, renormalised.
        order: which proposed pair each is, shape (k,).
        values: Rayleigh quotients theta = ||A v||^2.
        residuals: ||F v - theta v||.
        ritz: Ritz values of all vectors together: bounds of eigenvalues from the inside.
        reach: how far from theta the eigenvalue that belongs to each pair can lie: distinct eigenvalues for distinct pairs.
        independent: the vectors are orthogonal enough for those bounds.
        mismatch: the largest difference between <A v, A v> and <v, A^T A v>: a measure of the products' rounding.
        images: FV = F v, shape (k, n).
        forward: A v (m,) of the first and the last `NUM_KEPT` pairs, by position; those of all could be too large.
    """

    vectors: Rows
    order: Tensor
    values: Values
    residuals: Values
    ritz: Values
    reach: Values
    independent: bool
    mismatch: float
    images: Rows
    forward: Mapping[int, Tensor] = field(default_factory=dict)


def fresh_pairs(A: Operator, proposal: RitzPairs) -> FreshPairs:
    """Return values, residuals and bounds of the proposed vectors of one image, by one product each with A and A^T."""
    k, n = proposal.vectors.shape
    V, FV = (torch.empty(k, n, dtype=torch.float64, device=A.device) for _ in range(2))
    values = torch.empty(k, dtype=torch.float64, device=A.device)
    forward: dict[int, Tensor] = {}
    for start in range(0, k, _CHUNK):
        rows = slice(start, min(start + _CHUNK, k))
        # A float32 vector is a unit vector to 1e-7 only; its direction is exact, so its length is divided out in float64.
        z = proposal.vectors[rows].to(A.dtype)
        length = torch.linalg.vector_norm(z, dim=1, keepdim=True, dtype=torch.float64)
        u = A.apply(z[None])
        V[rows], FV[rows] = z.double() / length, A.adjoint(u)[0].double() / length
        AV = u[0].double() / length
        values[rows] = AV.square().sum(1)
        forward |= {i: AV[i - start] for i in ends(k, NUM_KEPT) if rows.start <= i < rows.stop}
    order = torch.argsort(values, descending=True, stable=True)  # rounding can swap neighbours; eigenindices increase
    kept = {position: forward[i] for position, i in enumerate(order.tolist()) if i in forward}
    return with_bounds(order, V[order], FV[order], values[order], kept)


def ends(k: int, count: int) -> list[int]:
    """Return the positions of the first and the last `count` of k."""
    return sorted({*range(min(count, k)), *range(max(0, k - count), k)})


def with_bounds(
    order: Tensor, V: Rows, FV: Rows, values: Values, forward: Mapping[int, Tensor], MV: Rows | None = None, least: float = 1.0
) -> FreshPairs:
    """Return pairs with the bounds that follow from their products.

    For F v = rho M v the bounds are those of M^(-1/2) F M^(-1/2): residuals are measured in the norm of M^-1, which is at most the
    Euclidean one over the root of the least eigenvalue of M.

    Args:
        order: which proposed pair each is.
        V: unit rows (k, n), or rows with v^T M v = 1.
        FV: F v of each.
        values: <A v, A v>, decreasing, on the device of V.
        forward: A v of some of them, by position.
        MV: M v of each; None for the identity.
        least: a lower bound on the least eigenvalue of M.
    """
    MV = V if MV is None else MV
    mismatch = (values - (V * FV).sum(1)).abs()
    # Weinstein's theorem: for a unit v and any theta, F has an eigenvalue within ||F v - theta v|| of theta.
    residuals = (FV - values[:, None] * MV) / least**0.5
    ritz, smallest = _ritz_values(V, FV, MV)
    own = torch.linalg.vector_norm(residuals, dim=1)
    # At 1/2 the bounds below widen by sqrt(2) at most; solvers return vectors that are orthonormal to rounding.
    independent = smallest > 0.5
    # Kahan's theorem is for orthonormal V; else the bound is 1 / sigma_min(V) times as wide (Cao, Xie and Li 1996).
    reach = _reach(values, own, residuals) / smallest**0.5 if independent else own
    return FreshPairs(
        vectors=V,
        order=order,
        values=values.cpu(),
        residuals=own.cpu(),
        ritz=ritz.cpu(),
        reach=reach.cpu(),
        independent=independent,
        mismatch=float(mismatch.max()) if len(V) else 0.0,
        images=FV,
        forward=forward,
    )


def _ritz_values(V: Tensor, FV: Tensor, MV: Tensor) -> tuple[Tensor, float]:
    """Return the Ritz values of the span of V, descending, and the smallest eigenvalue of V M V^T: 1 where V is orthonormal.

    By Cauchy's interlacing theorem (Parlett 1998, section 10.1) the j-th largest Ritz value is at most the j-th largest eigenvalue, and the
    j-th smallest at least the j-th smallest. Rayleigh quotients of single vectors do not have this property for j > 1.
    """
    if not len(V):
        return V.new_empty(0), 1.0
    overlaps = V @ MV.T
    overlaps = (overlaps + overlaps.T) / 2
    smallest = float(torch.linalg.eigvalsh(overlaps)[0])
    G = V @ FV.T
    G = (G + G.T) / 2
    if smallest <= 0.5:
        return G.diagonal().clone(), smallest
    L = torch.linalg.cholesky(overlaps)  # V is orthonormal to the solver's precision; L^-1 V is so to float64's
    G = torch.linalg.solve_triangular(L, torch.linalg.solve_triangular(L, G, upper=False).T, upper=False)
    return torch.linalg.eigvalsh((G + G.T) / 2).flip(0), smallest


def _reach(values: Values, own: Values, residuals: Tensor) -> Values:
    """Return distances within which each value has its own eigenvalue.

    A residual r alone means that some eigenvalue lies within r (Parlett 1998, theorem 4.5.1), so two pairs whose ranges overlap could
    belong to the same one. Such pairs are therefore treated together: within the spectral norm of their residuals there are as many
    eigenvalues as pairs (Kahan 1967; Parlett 1998, theorem 11.5.1).
    """
    reach = own.clone()
    runs = [(i, i + 1) for i in range(len(values))]
    # Repeated, because a wider range may now overlap the next. Ranges never shrink, so this ends after k rounds at most.
    while True:
        merged: list[tuple[int, int]] = []
        for start, stop in runs:
            if merged and float(values[start - 1] - reach[start - 1]) <= float(values[start] + reach[start]):
                merged[-1] = merged[-1][0], stop
            else:
                merged.append((start, stop))
        if len(merged) == len(runs):
            return reach
        runs = merged
        for start, stop in runs:
            if stop - start > 1:
                reach[start:stop] = _spectral_norm(residuals[start:stop])


def _spectral_norm(rows: Tensor) -> float:
    if len(rows) > _LARGEST_SPECTRAL_NORM:
        return float(torch.linalg.matrix_norm(rows))
    return float(torch.linalg.eigvalsh(rows @ rows.T)[-1].clamp(min=0).sqrt())
