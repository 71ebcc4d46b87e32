"""Gaussian filters as matrix products: with the padding folded into a square matrix for each side, a Gaussian is A X B^T.

The matrices are banded, so that a large side is cut into blocks of output pixels, each of which needs only the input pixels around it.
"""

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from eigexp.shapes import Images

KERNEL_SIZE = 31
RADIUS = KERNEL_SIZE // 2
MIN_SIDE = RADIUS + 1
_CACHED_SIZES = 4
_BLOCK = 128

Blocks = tuple[tuple[slice, Tensor], ...]


def gaussian_taps(std: Float[Tensor, " g"]) -> Float64[Tensor, "g taps"]:
    """One-dimensional Gaussians of KERNEL_SIZE taps that sum to one: (g,) standard deviations in pixels -> (g, taps), float64.

    The outer product of two of them is the normalised circular Gaussian of the published models.
    """
    offset = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64, device=std.device)
    return torch.softmax(-(offset**2) / (2 * std.to(torch.float64).unsqueeze(-1) ** 2), dim=-1)


def gaussian_matrices(std: Float[Tensor, " g"], size: int) -> Float64[Tensor, "g {size} {size}"]:
    """The matrices that filter a side of `size` pixels, reflected at both ends: (g,) -> (g, size, size), float64.

    Row i holds the weights of every pixel in filtered pixel i. `size` must be at least MIN_SIDE.
    """
    taps = gaussian_taps(std)
    target = torch.arange(size, device=std.device).repeat_interleave(KERNEL_SIZE)
    source = target + torch.arange(-RADIUS, RADIUS + 1, device=std.device).repeat(size)
    source = source.abs()
    source = torch.where(source >= size, 2 * (size - 1) - source, source)
    matrices = torch.zeros(len(taps), size * size, dtype=torch.float64, device=std.device)
    return matrices.index_add(1, target * size + source, taps.repeat(1, size)).view(-1, size, size)


class GaussianStage:
    """Filters an image by several Gaussians in batched matrix products, whose matrices are kept from call to call.

    The matrices are constants to autograd: gradients flow to the image and not to the standard deviations. They enter no state_dict, pickle
    or copy, and are made again when the standard deviations, the size, the dtype or the device change.
    """

    def __init__(self) -> None:
        self._cache: dict[tuple[Any, ...], tuple[tuple[Tensor, ...], Blocks, Blocks]] = {}

    def __call__(self, x: Images, stds: tuple[Float[Tensor, " _"], ...]) -> Float[Tensor, "b g h w"]:
        """Images (b, 1, h, w), or (b, g, h, w) with one Gaussian a channel, -> (b, g, h, w).

        Args:
            x: images with sides of at least MIN_SIDE pixels.
            stds: standard deviations in pixels, (g_1,), (g_2,), ...; g is their total length.
        """
        rows, columns = self._blocks(x, stds)
        x = _join([x[..., pixels] @ matrix for pixels, matrix in columns], dim=-1)
        return _join([matrix @ x[..., pixels, :] for pixels, matrix in rows], dim=-2)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    def _blocks(self, x: Tensor, stds: tuple[Tensor, ...]) -> tuple[Blocks, Blocks]:
        h, w = x.shape[-2:]
        key = (h, w, x.dtype, x.device, *((id(std), std._version) for std in stds))
        if key not in self._cache:
            if len(self._cache) >= _CACHED_SIZES:
                del self._cache[next(iter(self._cache))]
            # The standard deviations are kept beside the matrices, so that their ids stay theirs.
            self._cache[key] = (stds, *_side_blocks(torch.cat(stds), h, w, x))
        return self._cache[key][1:]


@torch.inference_mode(False)
@torch.no_grad()
def _side_blocks(std: Tensor, h: int, w: int, like: Tensor) -> tuple[Blocks, Blocks]:
    rows = tuple((pixels, matrix.to(like)) for pixels, matrix in _cut(gaussian_matrices(std, h)))
    columns = tuple((pixels, matrix.mT.contiguous().to(like)) for pixels, matrix in _cut(gaussian_matrices(std, w)))
    return rows, columns


def _cut(matrices: Tensor) -> Blocks:
    """Banded (g, size, size) as blocks of about _BLOCK rows: for each the input pixels that it needs, and its part of the matrices."""
    size = matrices.shape[-1]
    count = max(1, round(size / _BLOCK))
    bounds = [size * i // count for i in range(count + 1)]
    needed = [slice(max(0, low - RADIUS), min(size, high + RADIUS)) for low, high in pairwise(bounds)]
    return tuple((pixels, matrices[:, low:high, pixels].contiguous()) for pixels, (low, high) in zip(needed, pairwise(bounds), strict=True))


def _join(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)
