"""Small networks with seeded weights, by name."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class SharedFilters(nn.Module):
    """The same filters on every channel: on a grey picture in colour, every eigenvalue repeats as often as there are channels."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        return nn.functional.softplus(self.filters(x.reshape(b * c, 1, h, w))).reshape(b, -1)


class Attention(nn.Module):
    """Patches as tokens, one block of attention."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 3, stride=3)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, activation="gelu")

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.patches(x).flatten(2).mT)


def _normalised(norm: nn.Module, *more: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), norm, nn.GELU(), *more)


def _trained(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    norm.running_mean, norm.running_var = torch.randn(norm.num_features) / 4, torch.rand(norm.num_features) + 0.5
    return norm


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "cnn": lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GELU(), nn.Conv2d(8, 6, 3, padding=1), nn.Softplus()),
    "first layer": lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Softplus()),
    "strided": lambda: nn.Sequential(nn.Conv2d(3, 12, 3, stride=2, padding=1), nn.SiLU(), nn.Conv2d(12, 16, 3, stride=2, padding=1)),
    "max-pool": lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.GELU()),
    "layer norm": lambda: _normalised(nn.LayerNorm([6, 12, 12])),
    "instance norm": lambda: _normalised(nn.InstanceNorm2d(6, affine=True)),
    "group norm": lambda: _normalised(nn.GroupNorm(2, 6)),
    "batch norm": lambda: _normalised(_trained(nn.BatchNorm2d(6))),
    "layer norm first": lambda: nn.Sequential(
        nn.LayerNorm([3, 12, 12], elementwise_affine=False), nn.Conv2d(3, 6, 3, padding=1), nn.GELU()
    ),
    "instance norm and pool": lambda: nn.Sequential(nn.InstanceNorm2d(3), nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(2), nn.Tanh()),
    "attention": Attention,
    "shared filters": SharedFilters,
}


def build(name: str, seed: int) -> nn.Module:
    """Return a network of NETWORKS, in evaluation mode; the global random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[name]().eval().requires_grad_(False)
