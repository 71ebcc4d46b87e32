"""Base class of operators that add something to another one."""

import torch
from torch import Tensor

from eigexp.noise import Noise
from eigexp.operators.base import Operator, OperatorShape
from eigexp.subspace import PixelSubspace


class WrappedOperator(Operator):
    """An operator around another one, `inner`: the same map of the same images. A subclass adds to its products.

    Args:
        inner: the operator that computes.
    """

    def __init__(self, inner: Operator):
        self.inner = inner
        self.shape: OperatorShape = inner.shape
        self.dtype: torch.dtype = inner.dtype
        self.device: torch.device = inner.device
        self.method: str = getattr(inner, "method", "auto")

    def to_pixels(self, v: Tensor) -> Tensor:
        """Return P v, as the inner operator does."""
        return self.inner.to_pixels(v)

    def from_pixels(self, pixels: Tensor) -> Tensor:
        """Return P^T of pixels, as the inner operator does."""
        return self.inner.from_pixels(pixels)

    @property
    def images(self) -> Tensor | None:
        """Return the images (b, *image shape) of the inner operator."""
        return self.inner.images

    @property
    def noise(self) -> Noise | None:
        """Return the response noise of the inner operator."""
        return self.inner.noise

    @property
    def subspace(self) -> PixelSubspace | None:
        """Return the pixel subspace of the inner operator."""
        return self.inner.subspace

    @property
    def num_responses(self) -> int:
        """Return the number of responses of the inner operator's model."""
        return self.inner.num_responses
