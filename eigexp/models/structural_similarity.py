"""SSIM and MS-SSIM as models: responses whose Fisher information is the second-order form of 1 - SSIM at the image.

Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity", IEEE Transactions on Image
Processing 13(4), 2004; Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment", Asilomar 2003.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eigexp.errors import ConfigurationError, ModelError

_WINDOW_SIDE, _WINDOW_STD = 11, 1.5  # pixels
_C1, _C2 = 0.01**2, 0.03**2  # the paper's constants, for images in [0, 1]
MS_SSIM_POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


class StructuralSimilarity(nn.Module):
    """1 - SSIM(x, x + e) = e^T F e + O(|e|^3), with F the Fisher information of these responses at x.

    A window with mean mu, variance s^2 and weights w contributes <w, e>^2 / (2 mu^2 + C1) by its luminance, and the weighted variance of
    e over 2 s^2 + C2 by contrast and structure. The responses are the window's mean and its weighted deviations, divided by the square
    roots of those denominators, which are held constant at x: m is about 122 n.

    Args:
        powers: exponent of each scale, fine to coarse, as in MS-SSIM, where only the last has luminance. None for one scale, SSIM.

    Raises:
        ConfigurationError: if a power is not positive.
    """

    name: ClassVar[str] = "ssim"

    def __init__(self, powers: Sequence[float] | None = None) -> None:
        super().__init__()
        self.powers = (1.0,) if powers is None else tuple(powers)
        if not self.powers or not all(math.isfinite(p) and p > 0 for p in self.powers):
            raise ConfigurationError(f"model.powers={powers} must be positive numbers, one per scale. Give null for one scale.")
        self.eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the responses to images (b, c, h, w) in [0, 1], channel by channel: tensors (b, ...), two for the last scale, one else.

        Raises:
            ModelError: if the images do not have four axes, or are too small for the coarsest scale.
        """
        if x.ndim != 4 or min(x.shape[2:]) < 2 ** (len(self.powers) - 1):
            raise ModelError(
                f"SSIM at {len(self.powers)} scales takes images (b, c, h, w) with sides of {2 ** (len(self.powers) - 1)} pixels or more, "
                f"but got {tuple(x.shape)}. Set a larger images.size, or fewer model.powers."
            )
        responses: list[Tensor] = []
        for power in self.powers[:-1]:
            responses.append(_scale(x, power)[1])
            x = F.avg_pool2d(F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate"), 2)
        return responses + _scale(x, self.powers[-1])


def _scale(x: Tensor, power: float) -> list[Tensor]:
    """Return luminance (b, c, windows) and contrast with structure (b, c, side^2, windows) of one scale."""
    b, c, h, w = x.shape
    side = min(_WINDOW_SIDE, h, w)
    weights = _window(side, x).flatten()
    patches = F.unfold(x.reshape(b * c, 1, h, w), side).unflatten(0, (b, c))
    mean = weights @ patches
    deviation = patches - mean.unsqueeze(2)
    variance = weights @ deviation.square()
    share = power / (c * mean.shape[-1])
    # detach: the denominators are constants of the expansion at x, not part of the responses.
    luminance = mean * (share / (2 * mean.square() + _C1)).sqrt().detach()
    structure = deviation * (weights[:, None] * (share / (2 * variance + _C2)).unsqueeze(2)).sqrt().detach()
    return [luminance, structure]


def _window(side: int, like: Tensor) -> Tensor:
    """Return a circular Gaussian of unit sum, (side, side)."""
    offset = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    line = torch.softmax(-(offset**2) / (2 * _WINDOW_STD**2), dim=0)
    return (line[:, None] * line).to(like)
