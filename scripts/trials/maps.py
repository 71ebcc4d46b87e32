"""Linear maps with a chosen spectrum, and models with symmetries."""

import torch
from scipy.linalg import hadamard
from torch import Tensor, nn
from torch.nn import functional as F


class LinearMap(nn.Module):
    """y = A x of the flattened image."""

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix.float())

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.matrix.mT


def with_spectrum(values: Tensor, generator: torch.Generator) -> LinearMap:
    """Return a map whose F has these eigenvalues (256,): equal ones stay equal to the last bit, in float32 too.

    Its right singular vectors are a Hadamard matrix with random signs and places, whose entries are +-1/16.
    """
    n = len(values)
    H = torch.from_numpy(hadamard(n)).double() / n**0.5
    signs = torch.randint(0, 2, (n,), generator=generator).double() * 2 - 1
    return LinearMap(values.sqrt()[:, None] * H[torch.randperm(n, generator=generator)] * signs)


def random_with_spectrum(values: Tensor, m: int, generator: torch.Generator) -> LinearMap:
    """Return a map of n = len(values) pixels to m responses with random singular vectors; eigenvalues hold to float32's rounding."""
    r = min(m, len(values))
    U, V = (torch.linalg.qr(torch.randn(size, r, generator=generator, dtype=torch.float64))[0] for size in (m, len(values)))
    return LinearMap(U * values[:r].sqrt() @ V.mT)


class MirrorSum(nn.Module):
    """One map of an image's left half and of its mirrored right half: every eigenvalue twice."""

    def __init__(self, block: LinearMap) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=-1)
        return torch.cat([self.block(left), self.block(right.flip(-1))], dim=1)


def symmetric_kernels(count: int, channels: int, generator: torch.Generator) -> Tensor:
    """Return filters (count, channels, 3, 3) that quarter turns and reflections leave unchanged."""
    values = torch.randn(3, count, channels, generator=generator) / 3
    place = torch.tensor([[2, 1, 2], [1, 0, 1], [2, 1, 2]])  # centre 0, sides 1, corners 2
    return values[place].permute(2, 3, 0, 1).contiguous()


class TurnEquivariant(nn.Module):
    """Filters without direction, with circular borders: at an image that quarter turns do not change, eigenvalues come in pairs."""

    first: Tensor
    second: Tensor

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("first", symmetric_kernels(4, 1, generator))
        self.register_buffer("second", symmetric_kernels(2, 4, generator))

    def forward(self, x: Tensor) -> Tensor:
        for kernels in (self.first, self.second):
            x = F.softplus(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="circular"), kernels))
        return x


def turned_alike(image: Tensor) -> Tensor:
    """Return the nearest image (b, c, h, h) that quarter turns and reflections leave unchanged; exact for multiples of 1/512."""
    coarse = (image * 64).round() / 64
    turned = torch.stack([coarse.rot90(i, dims=(-2, -1)) for i in range(4)]).sum(0)
    return (turned + turned.mT) / 8
