"""Small models of every kind that can be linearised, and their Jacobians by another road."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def flat(output: Any) -> Tensor:
    if isinstance(output, Tensor):
        return (torch.view_as_real(output) if output.is_complex() else output).reshape(-1)
    return torch.cat([flat(part) for part in (output.values() if isinstance(output, dict) else output)])


def jacobians(model: Callable[[Tensor], Any], images: Tensor) -> Tensor:
    """(b, m, pixels): each image by itself, by `torch.autograd.functional.jacobian`."""
    rows = [torch.autograd.functional.jacobian(lambda x: flat(model(x[None])), image) for image in images]
    return torch.stack([row.reshape(len(row), -1) for row in rows])


def images(*shape: int, b: int = 2, seed: int = 0) -> Tensor:
    return torch.rand(b, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def convolution() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Softplus(), nn.Conv2d(3, 2, 3)).double().requires_grad_(False)


class Nested(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Any]:
        square = x.square().flatten(1)
        return {"a": square, "b": (square.sum(1), [x.sin().mean(dim=-1), {"c": square[:, :2].exp()}])}


class Spectrum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfftn(x.square(), dim=(-2, -1))


class Quartic(nn.Module):
    """For images of any shape."""

    def forward(self, x: Tensor) -> Tensor:
        y = x.flatten(1)
        return torch.cat([y**2 + y.roll(1, dims=1), (y**4).sum(1, keepdim=True)], dim=1)


class Unbatched(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.square().sum(dim=0).sin()


class Linear(nn.Module):
    """y = x twice: its second derivative has no graph."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([2 * x.flatten(1), x.flatten(1)], dim=1)


class Copy(torch.autograd.Function):
    """Copies its input; a subclass writes the forward-mode derivative."""

    @staticmethod
    def forward(x):
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        return grad
