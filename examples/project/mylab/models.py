"""A retina: each unit responds to the difference of a centre and a surround, and saturates."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Retina(nn.Module):
    """tanh of a difference of Gaussians.

    Args:
        spread: standard deviation of the surround, pixels; that of the centre is a third.
        gain: before the saturation.
    """

    def __init__(self, spread: float = 1.5, gain: float = 4.0) -> None:
        super().__init__()
        self.gain = gain
        self.register_buffer("kernel", gaussian(spread / 3) - gaussian(spread))

    def forward(self, x: Tensor) -> Tensor:
        """Return responses for images (b, 1, h, w) in [0, 1]."""
        return torch.tanh(self.gain * F.conv2d(x, self.kernel, padding="same"))


def gaussian(deviation: float, radius: int = 4) -> Tensor:
    """Return a kernel of sum 1, shape (1, 1, side, side)."""
    at = torch.arange(-radius, radius + 1.0)
    profile = torch.exp(-0.5 * (at / deviation).square())
    kernel = profile[:, None] * profile[None, :]
    return (kernel / kernel.sum())[None, None]
