"""A small network with layers, and the Jacobians of its layers by another road."""

from typing import Any

import torch
from torch import Tensor, nn

from eigexp.models import Features


class SmallNetwork(nn.Module):
    """Grey images; smooth, so that dense Jacobians are exact everywhere. `branch` keeps torch.fx from tracing it."""

    def __init__(self, branch: bool = False, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.stem = nn.Conv2d(1, 3, 3, stride=2, padding=1)
            self.middle = nn.Sequential(nn.Softplus(), nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.Tanh())
            self.head = nn.Linear(5, 4)
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        if self.branch and x.mean() > 100:
            return x
        return self.head(self.middle(self.stem(x)).mean((2, 3)))


def fisher(network: nn.Module, layer: Any, image: Tensor) -> Tensor:
    """F (n, n) of a layer, or of several concatenated, by an explicit float64 Jacobian."""
    names = [layer] if isinstance(layer, str) else list(layer)
    features = Features(network.double(), names)
    x = image.double()

    def response(y: Tensor) -> Tensor:
        return torch.cat([value.flatten() for value in features(y[None]).values()])

    J = torch.autograd.functional.jacobian(response, x).reshape(-1, x.numel())
    return J.T @ J
