"""Rayleigh-Ritz: the best approximate eigenpairs within a subspace (Parlett 1998, chapter 11)."""

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor


def ritz(H: Float[Tensor, "d d"]) -> tuple[Float64[Tensor, " d"], Float64[Tensor, "d d"]]:
    """Return the Ritz values (d,) of a projected matrix H (d, d), decreasing, and their coefficient rows (d, d); float64 on the CPU."""
    values, columns = torch.linalg.eigh(H.double().cpu())
    return values.flip(0), columns.T.flip(0).contiguous()


def wanted_indices(n: int, k_top: int, k_bottom: int) -> Int64[Tensor, " k"]:
    """Return the eigenindices of the k_top largest and k_bottom smallest of n eigenvalues, increasing, without repetition."""
    top = range(min(k_top, n))
    bottom = range(max(n - k_bottom, 0), n)
    return torch.tensor(sorted({*top, *bottom}), dtype=torch.int64)
