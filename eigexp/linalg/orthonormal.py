"""Inner products that keep their digits, and orthonormal vectors."""

import torch
from torch import Tensor

_ENTRIES = 2**21  # of a part in float64: 16 MiB


def inner(rows: Tensor, vector: Tensor) -> Tensor:
    """Inner products of rows (d, n) with a vector (n,), in float64: shape (d,), on the CPU.

    Converted a few rows at a time, which takes half the time of float32 sums over short blocks, and no memory to speak of.
    """
    exact = vector.double()
    parts = rows.split(max(1, _ENTRIES // max(1, len(vector))))
    return torch.cat([part.double() @ exact for part in parts]).cpu()


def norm(vector: Tensor) -> float:
    """Euclidean norm, summed in float64."""
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))


def orthogonal_to(rows: Tensor, vector: Tensor) -> Tensor | None:
    """The unit vector along the part of `vector` (n,) that is orthogonal to orthonormal `rows` (d, n), or None if nothing is left.

    Two passes of classical Gram-Schmidt (Giraud et al. 2005). What the first leaves is rounding, and so nothing, where it is some units of
    the dtype's precision long, or where the second takes away nine tenths of it.
    """
    scale = norm(vector)
    if scale == 0.0 or not len(rows):
        return vector / scale if scale else None
    once = vector / scale
    once = once - rows.T @ (rows @ once)
    twice = once - rows.T @ (rows @ once)
    before, after = norm(once), norm(twice)
    return twice / after if after > max(0.1 * before, 10 * torch.finfo(vector.dtype).eps) else None


def orthonormal_rows(block: Tensor) -> Tensor:
    """Orthonormal rows that span the rows of `block` (k, n), k <= n, by QR; a row that depends on earlier ones becomes arbitrary."""
    return torch.linalg.qr(block.T, mode="reduced").Q.T.contiguous()


def independent_rows(block: Tensor, rtol: float = 1e-3) -> Tensor:
    """Orthonormal rows (r <= k, n) that span the numerical range of the rows of `block` (k, n): by SVD, small directions dropped."""
    norms = torch.linalg.vector_norm(block, dim=1, keepdim=True)
    block = block[norms.squeeze(1) > 0] / norms[norms.squeeze(1) > 0]
    if not len(block):
        return block
    _, s, vh = torch.linalg.svd(block, full_matrices=False)
    return vh[s > rtol * s[0]]
