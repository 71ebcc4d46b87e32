"""Inner products that keep their digits, and orthonormal vectors."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from eigexp.linalg.gaussian import gaussian_rows
from eigexp.shapes import BasisRows, Rows, Vector

_ENTRIES = 2**21  # of a part in float64: 16 MiB
_SUM = 2**16  # terms in one sum, so that rounding does not grow with the length
_MUCH = 0.7  # of a unit vector left by a projection: what rounding put back is then a unit of precision or so


def inner(rows: BasisRows, vectors: Vector | Rows) -> Float64[Tensor, " d"] | Float64[Tensor, "d k"]:
    """Inner products of rows (d, n) with a vector (n,), shape (d,), or with several (k, n), shape (d, k); in float64, on the CPU.

    Converted a few columns at a time, which takes half the time of float32 sums over short blocks, and no memory to speak of.
    """
    block = vectors if vectors.ndim == 2 else vectors[None]
    width = max(1, min(_SUM, _ENTRIES // max(1, len(rows) + len(block))))
    products = torch.zeros(len(rows), len(block), dtype=torch.float64, device=rows.device)
    for part, other in zip(rows.split(width, dim=1), block.split(width, dim=1), strict=True):
        products += part.double() @ other.double().T
    return (products if vectors.ndim == 2 else products[:, 0]).cpu()


def norm(vector: Vector) -> float:
    """Euclidean norm, summed in float64."""
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))


def orthogonal_to(rows: BasisRows, vector: Vector) -> Vector | None:
    """The unit vector along the part of `vector` (n,) that is orthogonal to orthonormal `rows` (d, n), or None if nothing is left.

    Classical Gram-Schmidt, a second time where the first took away much (Daniel, Gragg, Kaufman and Stewart 1976). What the first leaves is
    rounding, and so nothing, where it is some units of the dtype's precision long, or where the second takes away nine tenths of it.
    """
    scale = norm(vector)
    if scale == 0.0 or not len(rows):
        return vector / scale if scale else None
    once = vector / scale
    once = once - rows.T @ (rows @ once)
    before = norm(once)
    if before > _MUCH:
        return once / before
    twice = once - rows.T @ (rows @ once)
    after = norm(twice)
    return twice / after if after > max(0.1 * before, 10 * torch.finfo(vector.dtype).eps) else None


def orthonormal_rows(block: Rows) -> Rows:
    """Orthonormal rows that span the rows of `block` (k, n), k <= n, by QR; a row that depends on earlier ones becomes arbitrary."""
    return torch.linalg.qr(block.T, mode="reduced").Q.T.contiguous()


def independent_rows(block: Rows, rtol: float = 1e-3) -> Float[Tensor, "r n"]:
    """Orthonormal rows (r <= k, n) that span the numerical range of the rows of `block` (k, n): by SVD, small directions dropped."""
    norms = torch.linalg.vector_norm(block, dim=1, keepdim=True)
    block = block[norms.squeeze(1) > 0] / norms[norms.squeeze(1) > 0]
    if not len(block):
        return block
    _, s, vh = torch.linalg.svd(block, full_matrices=False)
    return vh[s > rtol * s[0]]


def random_orthogonal(rows: Tensor, n: int, rng: Tensor) -> tuple[Tensor, Tensor]:
    """A random unit vector (n,) orthogonal to orthonormal rows (d < n, n), and the generator's next state."""
    while True:
        draw, rng = gaussian_rows(1, n, rng, rows)
        t = orthogonal_to(rows, draw[0])
        if t is not None:
            return t, rng
