"""Orthonormal cosines."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def cosines(length: int) -> Float[Tensor, "x u"]:
    """Return the orthonormal matrix of the discrete cosine transform (type 2), float64; column u has u / (2 length) cycles per pixel."""
    x, u = torch.arange(length, dtype=torch.float64), torch.arange(length, dtype=torch.float64)
    C = torch.cos(math.pi / length * (x[:, None] + 0.5) * u)
    C[:, 0] /= math.sqrt(2)
    return C * math.sqrt(2 / length)
