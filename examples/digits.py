"""Ten thousand small images and a small network, for docs/datasets.md: scikit-learn's digits, repeated with a little noise."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn


class Digits:
    """Digits of 8x8 pixels in [0, 1]: the 1797 of scikit-learn first, then the same with uniform noise of up to 0.02.

    Args:
        count: of images.
    """

    def __init__(self, count: int = 10_000):
        digits = load_digits().images.astype(np.float32) / 16
        repeats = -(-count // len(digits))
        noise = np.random.default_rng(0).uniform(-0.02, 0.02, (repeats, *digits.shape)).astype(np.float32)
        noise[0] = 0
        self.images = torch.from_numpy(np.clip(digits + noise, 0, 1).reshape(-1, 1, 8, 8)[:count])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Tensor:
        return self.images[i]


class Network(nn.Sequential):
    """Two convolutions and ten logits, with random weights.

    Args:
        seed: of the weights.
    """

    def __init__(self, seed: int = 0):
        torch.manual_seed(seed)
        convolutions = nn.Conv2d(1, 8, 3, padding=1), nn.GELU(), nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.GELU()
        super().__init__(*convolutions, nn.Flatten(), nn.Linear(256, 10))
