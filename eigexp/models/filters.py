"""Gaussian filters as matrix products.

A circular Gaussian is separable, and reflection at the borders is linear, so filtering an image X is A X B^T with a square matrix for each
side. That is several times faster than a padded 31 x 31 convolution, and its derivative is again a matrix product. The matrices are banded:
a large side is cut into blocks of output pixels, each of which needs only the input pixels around it.
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
_MAX_CACHED = 4  # image sizes
_BLOCK_ROWS = 64  # output pixels

Blocks = tuple[tuple[slice, Tensor], ...]


def gaussian_taps(std: Float[Tensor, " g"]) -> Float64[Tensor, "g taps"]:
    """Return one-dimensional Gaussians of KERNEL_SIZE taps that sum to one: standard deviations (g,) in pixels -> (g, taps), float64.

    The outer product of two of them is the normalised circular Gaussian of the published models.
    """
    offset = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64, device=std.device)
    return torch.softmax(-(offset**2) / (2 * std.to(torch.float64).unsqueeze(-1) ** 2), dim=-1)


def gaussian_matrices(std: Float[Tensor, " g"], size: int) -> Float64[Tensor, "g {size} {size}"]:
    """Return the matrices that filter a side of `size` pixels, reflected at both ends: (g,) -> (g, size, size), float64.

    Row i holds the weight of every pixel in filtered pixel i. `size` must be at least MIN_SIDE.
    """
    taps = gaussian_taps(std)
    target = torch.arange(size, device=std.device).repeat_interleave(KERNEL_SIZE)
    source = target + torch.arange(-RADIUS, RADIUS + 1, device=std.device).repeat(size)
    source = source.abs()  # reflection without repeating the edge: -1 -> 1, and size -> size - 2
    source = torch.where(source >= size, 2 * (size - 1) - source, source)
    matrices = torch.zeros(len(taps), size * size, dtype=torch.float64, device=std.device)
    return matrices.index_add(1, target * size + source, taps.repeat(1, size)).view(-1, size, size)


class GaussianStage:
    """Filters an image by several Gaussians in batched matrix products. The matrices are cached.

    They are constants to autograd: gradients flow to the image, not to the standard deviations. They are not part of a state_dict, pickle
    or copy, and are rebuilt when the standard deviations, the size, the dtype or the device change.
    """

    def __init__(self) -> None:
        self._cache: dict[tuple[Any, ...], tuple[tuple[Tensor, ...], Blocks, Blocks, Tensor | None]] = {}

    def __call__(self, x: Images, stds: tuple[Float[Tensor, " _"], ...]) -> Float[Tensor, "b g h w"]:
        """Filter images (b, 1, h, w), or (b, g, h, w) with one Gaussian per channel. Returns (b, g, h, w).

        One image is filtered once by each standard deviation, however often it is given: OnOff and LG divide by a luminance that is also a
        surround.

        Args:
            x: images with sides of at least MIN_SIDE pixels.
            stds: standard deviations in pixels, (g_1,), (g_2,), ...; g is their total length.
        """
        rows, columns, places = self._blocks(x, stds)
        x = _join([x[..., pixels] @ matrix for pixels, matrix in columns], dim=-1)
        x = _join([matrix @ x[..., pixels, :] for pixels, matrix in rows], dim=-2)
        return x if places is None else x.index_select(1, places)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    def _blocks(self, x: Tensor, stds: tuple[Tensor, ...]) -> tuple[Blocks, Blocks, Tensor | None]:
        channels, h, w = x.shape[-3:]
        key = (channels == 1, h, w, x.dtype, x.device, *((id(std), std._version) for std in stds))
        if key not in self._cache:
            if len(self._cache) >= _MAX_CACHED:
                del self._cache[next(iter(self._cache))]
            # The key holds ids of tensors: keep the tensors alive, or a new one could get the id of a deleted one.
            std, places = _distinct(torch.cat(stds)) if channels == 1 else (torch.cat(stds), None)
            self._cache[key] = (stds, *_side_blocks(std, h, w, x), places)
        return self._cache[key][1:]


@torch.inference_mode(False)
@torch.no_grad()
def _distinct(std: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return each standard deviation once, and where each of `std` is among them; None where there are no repetitions."""
    distinct, places = std.unique(return_inverse=True)
    return (std, None) if len(distinct) == len(std) else (distinct, places)


@torch.inference_mode(False)  # matrices built in inference mode could not take part in a later backward pass
@torch.no_grad()
def _side_blocks(std: Tensor, h: int, w: int, like: Tensor) -> tuple[Blocks, Blocks]:
    rows = tuple((pixels, matrix.to(like)) for pixels, matrix in _cut(gaussian_matrices(std, h)))
    columns = tuple((pixels, matrix.mT.contiguous().to(like)) for pixels, matrix in _cut(gaussian_matrices(std, w)))
    return rows, columns


def _cut(matrices: Tensor) -> Blocks:
    """Cut banded matrices (g, size, size) into blocks of rows: for each block the input pixels it needs, and its part of the matrices."""
    size = matrices.shape[-1]
    count = max(1, round(size / _BLOCK_ROWS))
    bounds = [size * i // count for i in range(count + 1)]
    needed = [slice(max(0, low - RADIUS), min(size, high + RADIUS)) for low, high in pairwise(bounds)]
    return tuple((pixels, matrices[:, low:high, pixels].contiguous()) for pixels, (low, high) in zip(needed, pairwise(bounds), strict=True))


def _join(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)
