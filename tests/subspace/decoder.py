import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Decoder(nn.Module):
    """A smooth map from 4 numbers to an image."""

    def __init__(self, shape: Sequence[int] = (1, 16, 16)):
        super().__init__()
        self.shape = tuple(shape)
        self.weights = nn.Parameter(torch.randn(math.prod(shape), 4, generator=torch.Generator().manual_seed(0)))

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.weights.T).tanh().view(-1, *self.shape)
