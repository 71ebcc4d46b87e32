"""Orthonormal vectors, and numbers read from a device."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eigexp.linalg.gaussian import gaussian_rows
from eigexp.shapes import BasisRows, Rows, Vector

_PIECE = 2**20  # entries; one float32 product over 2^24 entries underestimates v.v by 1.3e-3
_ONE_PASS_NORM = 0.7  # a unit vector whose projection keeps this norm is orthogonal to about one unit of precision after one pass


def read(numbers: Float[Tensor, " _"]) -> Any:
    """Return numbers (d,) from whatever device as a float64 array. A Lanczos step waits for that device only here."""
    return torch.empty(numbers.shape, dtype=torch.float64).copy_(numbers).numpy()


def norm(vector: Vector) -> float:
    """Return the Euclidean norm, summed in float64."""
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))


def inner(rows: BasisRows, vector: Vector) -> Float[Tensor, " d"]:
    """Return <row, vector> of each row (d,): of very long ones summed piece by piece, the pieces in float64."""
    if rows.shape[1] <= _PIECE:
        return rows @ vector
    pieces = [part @ of for part, of in zip(rows.split(_PIECE, dim=1), vector.split(_PIECE), strict=True)]
    return torch.stack(pieces).sum(0, dtype=torch.float64).to(vector)


def orthogonal_to(rows: BasisRows, vector: Vector) -> Vector | None:
    """Return the unit vector along the part of `vector` (n,) orthogonal to orthonormal `rows` (d, n), or None if it lies in their span.

    Classical Gram-Schmidt, with a second pass where the first removed much (Daniel, Gragg, Kaufman and Stewart 1976). The remainder of the
    first pass is only rounding where it is a few units of the dtype's precision long, or where the second pass removes 90 % of it.
    """
    scale = norm(vector)
    if scale == 0.0 or not len(rows):
        return vector / scale if scale else None
    once = vector / scale
    once = once - rows.T @ inner(rows, once)
    before = norm(once)
    if before > _ONE_PASS_NORM:
        return once / before
    twice = once - rows.T @ inner(rows, once)
    after = norm(twice)
    return twice / after if after > max(0.1 * before, 10 * torch.finfo(vector.dtype).eps) else None


def outside(rows: BasisRows, vector: Vector) -> tuple[Vector, tuple[Float[Tensor, " d"], ...]]:
    """Return the part of a vector (n,) orthogonal to orthonormal rows (d, n), in float64, and its coefficients (d,), none for no rows."""
    if not rows.shape[0]:
        return vector, ()
    double, t = rows.double(), vector.double()
    coefficients = double @ t
    return torch.addmv(t, double.T, coefficients, alpha=-1).to(vector), (coefficients,)


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
