"""Small images and a small network with ten logits."""

import torch
from torch import Tensor, nn


class Digits:
    """Random images of 16x16.

    Args:
        count: of images.
    """

    def __init__(self, count: int = 10):
        self.images = torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Tensor:
        return self.images[i]


class Network(nn.Sequential):
    """Two convolutions and ten logits."""

    def __init__(self, seed: int = 0):
        torch.manual_seed(seed)
        convolutions = nn.Conv2d(1, 4, 3, padding=1), nn.GELU(), nn.Conv2d(4, 8, 3, stride=2), nn.GELU()
        super().__init__(*convolutions, nn.Flatten(), nn.Linear(392, 10))
