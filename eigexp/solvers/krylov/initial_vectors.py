"""Structured initial vectors of the least noticeable distortions: simple patterns that vision models are often blind to."""

import torch
from torch import Tensor

from eigexp.linalg.orthonormal import independent_rows
from eigexp.operators.base import Operator

ROUNDS = 2


def structured_vectors(A: Operator, image: int, which: int) -> Tensor:
    """Return orthonormal initial vectors (g, n) for one image of the operator; g = 0 where the operator belongs to no image.

    A channel at a time. Round 0: the constant and the channel itself, to which models with gain control are nearly blind. Round 1: the
    Nyquist patterns (-1)^(x+y), (-1)^x, (-1)^y, which strided networks alias away.
    """
    if A.images is None:
        return torch.empty(0, A.shape.n, dtype=A.dtype, device=A.device)
    picture = A.images[image]
    planes = picture.reshape(-1, *picture.shape[-2:]) if picture.ndim > 1 else picture[None, None]
    patterns = torch.stack([torch.stack(_nyquist(plane) if which else [torch.ones_like(plane), plane]) for plane in planes])
    blocks = torch.zeros(len(planes), patterns.shape[1], *planes.shape, dtype=A.dtype, device=A.device)
    channels = torch.arange(len(planes))
    blocks[channels, :, channels] = patterns.to(A.dtype)
    # Orthonormal in the operator's coordinates: a mask may make patterns parallel, or empty.
    return independent_rows(A.from_pixels(blocks.flatten(0, 1).flatten(1)))


def _nyquist(plane: Tensor) -> list[Tensor]:
    h, w = plane.shape
    rows = (1 - 2 * (torch.arange(h, device=plane.device) % 2)).to(plane.dtype)[:, None].expand(h, w)
    columns = (1 - 2 * (torch.arange(w, device=plane.device) % 2)).to(plane.dtype)[None, :].expand(h, w)
    return [rows * columns, rows, columns]
