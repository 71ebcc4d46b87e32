"""Inner products summed in float64, and orthonormal vectors."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from eigexp.linalg.gaussian import gaussian_rows
from eigexp.shapes import BasisRows, Rows, Vector

_MAX_ENTRIES = 2**21  # of a block converted to float64: 16 MiB
_MAX_TERMS = 2**16  # of one sum, so that rounding does not grow with the length
_ONE_PASS_NORM = 0.7  # a unit vector whose projection keeps this norm is orthogonal to about one unit of precision after one pass


def inner(rows: BasisRows, vectors: Vector | Rows) -> Float64[Tensor, " d"] | Float64[Tensor, "d k"]:
    """Return the inner products of rows (d, n) with a vector (n,), shape (d,), or with several (k, n), shape (d, k); float64, on the CPU.

    A few columns at a time are converted to float64: half the time of float32 sums over short blocks, in 16 MiB.
    """
    block = vectors if vectors.ndim == 2 else vectors[None]
    width = max(1, min(_MAX_TERMS, _MAX_ENTRIES // max(1, len(rows) + len(block))))
    products = torch.zeros(len(rows), len(block), dtype=torch.float64, device=rows.device)
    for part, other in zip(rows.split(width, dim=1), block.split(width, dim=1), strict=True):
        products += part.double() @ other.double().T
    return (products if vectors.ndim == 2 else products[:, 0]).cpu()


def norm(vector: Vector) -> float:
    """Return the Euclidean norm, summed in float64."""
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))


def orthogonal_to(rows: BasisRows, vector: Vector) -> Vector | None:
    """Return the unit vector along the part of `vector` (n,) orthogonal to orthonormal `rows` (d, n), or None if it lies in their span.

    Classical Gram-Schmidt, with a second pass where the first removed much (Daniel, Gragg, Kaufman and Stewart 1976). The remainder of the
    first pass is only rounding where it is a few units of the dtype's precision long, or where the second pass removes 90 % of it.
    """
    scale = norm(vector)
    if scale == 0.0 or not len(rows):
        return vector / scale if scale else None
    once = vector / scale
    once = once - rows.T @ (rows @ once)
    before = norm(once)
    if before > _ONE_PASS_NORM:
        return once / before
    twice = once - rows.T @ (rows @ once)
    after = norm(twice)
    return twice / after if after > max(0.1 * before, 10 * torch.finfo(vector.dtype).eps) else None


def orthonormal_rows(block: Rows) -> Rows:
    """Return orthonormal rows that span the rows of `block` (k, n), k <= n, by QR. A row that depends on earlier ones becomes arbitrary."""
    return torch.linalg.qr(block.T, mode="reduced").Q.T.contiguous()


def independent_rows(block: Rows, rtol: float = 1e-3) -> Float[Tensor, "r n"]:
    """Return orthonormal rows (r <= k, n) that span the rows of `block` (k, n) numerically: by SVD, directions below `rtol` dropped."""
    norms = torch.linalg.vector_norm(block, dim=1, keepdim=True)
    block = block[norms.squeeze(1) > 0] / norms[norms.squeeze(1) > 0]
    if not len(block):
        return block
    _, s, vh = torch.linalg.svd(block, full_matrices=False)
    return vh[s > rtol * s[0]]


def random_orthogonal(rows: Tensor, n: int, rng: Tensor) -> tuple[Tensor, Tensor]:
    """Return a random unit vector (n,) orthogonal to orthonormal rows (d < n, n), and the generator's next state."""
    while True:
        draw, rng = gaussian_rows(1, n, rng, rows)
        t = orthogonal_to(rows, draw[0])
        if t is not None:
            return t, rng
