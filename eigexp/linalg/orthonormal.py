"""Inner products that keep their digits, and orthonormal vectors."""

import torch
from torch import Tensor

_BLOCK = 4096


def inner(rows: Tensor, vector: Tensor) -> Tensor:
    """Inner products of rows (d, n) with a vector (n,), summed in float64 over blocks of 4096: shape (d,), float64, on the CPU.

    Within a block the products are summed in the rows' own precision, so the error is that of a sum of 4096 terms, whatever n is.
    """
    n = vector.shape[0]
    whole = n - n % _BLOCK
    total = (rows[:, whole:] @ vector[whole:]).double()
    if whole:
        blocks = rows[:, :whole].unflatten(1, (-1, _BLOCK)).transpose(0, 1)
        total = total + torch.bmm(blocks, vector[:whole].view(-1, _BLOCK, 1)).squeeze(2).double().sum(0)
    return total.cpu()


def norm(vector: Tensor) -> float:
    """Euclidean norm, summed in float64."""
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))


def orthogonal_to(rows: Tensor, vector: Tensor) -> Tensor | None:
    """The unit vector along the part of `vector` (n,) that is orthogonal to orthonormal `rows` (d, n), or None if nothing is left.

    Two passes of classical Gram-Schmidt; a second pass that takes away nine tenths found only rounding (Giraud et al. 2005).
    """
    scale = norm(vector)
    if scale == 0.0 or not len(rows):
        return vector / scale if scale else None
    once = vector / scale
    once = once - rows.T @ (rows @ once)
    twice = once - rows.T @ (rows @ once)
    before, after = norm(once), norm(twice)
    return twice / after if after > 0.1 * before else None


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
