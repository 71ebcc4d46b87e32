"""Gaussian filters as matrix products: with the padding folded into a square matrix for each side, a Gaussian is A X B^T."""

from typing import Any

import torch
from torch import Tensor

KERNEL_SIZE = 31
RADIUS = KERNEL_SIZE // 2
MIN_SIDE = RADIUS + 1
_CACHED_SIZES = 4


def gaussian_taps(std: Tensor) -> Tensor:
    """One-dimensional Gaussians of KERNEL_SIZE taps that sum to one: (g,) standard deviations in pixels -> (g, taps), float64.

    The outer product of two of them is the normalised circular Gaussian of the published models.
    """
    offset = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64, device=std.device)
    return torch.softmax(-(offset**2) / (2 * std.to(torch.float64).unsqueeze(-1) ** 2), dim=-1)


def gaussian_matrices(std: Tensor, size: int) -> Tensor:
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
    """Filters an image by several Gaussians in one pair of batched matrix products, whose matrices are kept from call to call.

    The matrices are constants to autograd: gradients flow to the image and not to the standard deviations. They enter no state_dict, pickle
    or copy, and are made again when the standard deviations, the size, the dtype or the device change.
    """

    def __init__(self) -> None:
        self._cache: dict[tuple[Any, ...], tuple[tuple[Tensor, ...], Tensor, Tensor]] = {}

    def __call__(self, x: Tensor, stds: tuple[Tensor, ...]) -> Tensor:
        """Images (b, 1, h, w), or (b, g, h, w) with one Gaussian a channel, -> (b, g, h, w).

        Args:
            x: images with sides of at least MIN_SIDE pixels.
            stds: standard deviations in pixels, (g_1,), (g_2,), ...; g is their total length.
        """
        rows, columns_transposed = self._matrices(x, stds)
        return rows @ (x @ columns_transposed)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    def _matrices(self, x: Tensor, stds: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        h, w = x.shape[-2:]
        key = (h, w, x.dtype, x.device, *((id(std), std._version) for std in stds))
        if key not in self._cache:
            if len(self._cache) >= _CACHED_SIZES:
                del self._cache[next(iter(self._cache))]
            # The standard deviations are kept beside the matrices, so that their ids stay theirs.
            self._cache[key] = (stds, *_side_matrices(torch.cat(stds), h, w, x))
        return self._cache[key][1:]


@torch.inference_mode(False)
@torch.no_grad()
def _side_matrices(std: Tensor, h: int, w: int, like: Tensor) -> tuple[Tensor, Tensor]:
    rows = gaussian_matrices(std, h)
    columns = rows if h == w else gaussian_matrices(std, w)
    return rows.to(like), columns.mT.contiguous().to(like)
