"""Small layers whose responses see few pixels, and some that see more, in float64; and noise for an image."""

import torch
from torch import Tensor, nn


def strided(channels: int, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    first, second = nn.Conv2d(channels, 4, 3, stride=2, padding=1), nn.Conv2d(4, 6, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU()).double()


class Beside(nn.Module):
    """A convolution, and one response more that sees the whole image."""

    def __init__(self, weight: float):
        super().__init__()
        self.convolution, self.weight = nn.Conv2d(1, 3, 3, padding=1), weight

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.convolution(x).flatten(1), self.weight * x.flatten(1).mean(dim=1, keepdim=True)], dim=1)


class Halves(nn.Module):
    """The same for the left and the right half of an image, so that every eigenvalue of an image of two equal halves is there twice."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.convolution(half) for half in x.chunk(2, dim=-1)], dim=-1)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(1, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
