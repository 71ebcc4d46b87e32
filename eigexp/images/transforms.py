"""From the pixels of a file to the input of a model: colour, size, centre crop. Each gives the same bytes on every machine."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor
from torch.nn import functional as F

from eigexp.errors import ImageError
from eigexp.system.memory import check_memory

GREY_WEIGHTS = (0.2125, 0.7154, 0.0721)
_STEPS = 2**20

Size = int | Sequence[int] | None


def check_size(size: Size) -> tuple[int, int] | None:
    """Return the wanted (height, width); None keeps each image's own size.

    Raises:
        ImageError: if `size` is neither null, a positive whole number nor two of them.
    """
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, Sequence) and not isinstance(size, str) else ()
    if isinstance(size, str) and size.isdigit():
        raise ImageError(f"images.size={size!r} is text. Give a number; for one of the environment, write ${{oc.decode:${{oc.env:NAME}}}}.")
    if len(sides) != 2 or any(isinstance(side, bool) or not isinstance(side, int) or side < 1 for side in sides):
        raise ImageError(f"images.size={size} is not a size. Give one positive whole number, [height, width], or null.")
    return sides[0], sides[1]


def transform(array: Float64[np.ndarray, "h w c"], size: tuple[int, int] | None, grey: bool | None) -> Float32[Tensor, "_ _ _"]:
    """Return pixels (h, w, 1 or 3) as (c, h, w) float32 in [0, 1].

    Args:
        array: float64 in [0, 1].
        size: final height and width: the image is scaled until it just covers them, then cropped at its centre.
        grey: True for one channel (luminance by Rec. 709, as in scikit-image), False for three, None for the file's own.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)
    pixels = to_grey(pixels) if grey else pixels.expand(3, -1, -1) if grey is False else pixels
    if size is not None:
        pixels = center_crop(scale_to_cover(pixels, size), size)
    return pixels.clamp(0, 1).to(torch.float32).contiguous()


def to_grey(pixels: Float[Tensor, "c h w"]) -> Float[Tensor, "1 h w"]:
    """Return the luminance (1, h, w) of a colour image (3, h, w); grey images stay as they are."""
    if pixels.shape[0] == 1:
        return pixels
    red, green, blue = pixels
    return (GREY_WEIGHTS[0] * red + GREY_WEIGHTS[1] * green + GREY_WEIGHTS[2] * blue).unsqueeze(0)


def scale_to_cover(pixels: Float[Tensor, "c h w"], size: tuple[int, int]) -> Float[Tensor, "c _ _"]:
    """Scale an image, antialiased and in proportion, until it just covers (height, width).

    Computed in float64 and rounded to multiples of 2^-20, so that processors that sum in a different order give the same bytes.
    """
    h, w = pixels.shape[-2:]
    factor = max(size[0] / h, size[1] / w)
    scaled = max(size[0], math.floor(h * factor + 0.5)), max(size[1], math.floor(w * factor + 0.5))
    if scaled == (h, w):
        return pixels
    # float64 pixels before, between the two directions and after
    needed = 3 * 8 * pixels.shape[0] * scaled[0] * scaled[1]
    check_memory(needed, pixels.device, f"An image of {scaled[0]}x{scaled[1]} pixels", "Set a smaller images.size.")
    resized = F.interpolate(pixels.to(torch.float64).unsqueeze(0), size=scaled, mode="bilinear", antialias=True, align_corners=False)
    return (resized.squeeze(0) * _STEPS).round() / _STEPS


def center_crop(pixels: Float[Tensor, "*more h w"], size: tuple[int, int]) -> Float[Tensor, "*more {size[0]} {size[1]}"]:
    """Return the central (height, width) of a larger image; of an odd margin, the larger half is cut at the bottom and the right."""
    top, left = (pixels.shape[-2] - size[0]) // 2, (pixels.shape[-1] - size[1]) // 2
    return pixels[..., top : top + size[0], left : left + size[1]]
