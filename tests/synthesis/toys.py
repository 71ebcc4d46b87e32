"""Linear models whose Fisher information is known, and how to get a quiet object of them."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from eigexp import Eigendistortion


class LinearMap(nn.Module):
    """Responses M x of the flattened image: J = M."""

    def __init__(self, matrix: Tensor):
        super().__init__()
        self.register_buffer("matrix", matrix)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.matrix.T


class Bare(nn.Module):
    """A function of the image as a module without parameters."""

    def __init__(self, function: Callable[[Tensor], Any]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def random_matrix(kind: str, seed: int, m: int = 30, n: int = 36) -> Tensor:
    """A random map with n = 36 pixels, float64: tall, wide, rank-deficient, or with repeated singular values."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"tall": (50, n), "wide": (20, n), "deficient": (m, n), "repeated": (40, n)}
    rows, columns = shapes[kind]
    matrix = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    if kind == "deficient":
        thin = torch.randn(columns, 9, generator=generator, dtype=torch.float64)
        matrix = matrix @ torch.linalg.qr(thin).Q @ torch.linalg.qr(thin).Q.T
    if kind == "repeated":
        U, s, V = torch.linalg.svd(matrix, full_matrices=False)
        s[:4], s[-3:] = s[0], s[-1]
        matrix = (U * s) @ V
    return matrix


def spectrum(matrix: Tensor) -> Tensor:
    """All n eigenvalues of M^T M, decreasing, float64."""
    values = torch.linalg.svdvals(matrix.double()).square()
    return torch.cat([values, values.new_zeros(max(matrix.shape[1] - len(values), 0))])


def picture(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.rand(shape or (1, 1, 6, 6), generator=torch.Generator().manual_seed(seed), dtype=dtype)


def linear_object(matrix: Tensor, image: Tensor | None = None) -> Eigendistortion:
    image = picture(dtype=matrix.dtype) if image is None else image
    return Eigendistortion(image, LinearMap(matrix).eval())


def quietly(action: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    """Call without user warnings, which other tests look at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return action(*arguments, **settings)
