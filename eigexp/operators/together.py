"""Operators of single images as the operator of all of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from eigexp.noise import Noise
from eigexp.operators.base import Operator, OperatorShape
from eigexp.subspace import PixelSubspace


class Together(Operator):
    """Make the products of one image after the other: on a CPU as fast as a batch, and selecting images is free."""

    def __init__(self, parts: Sequence[Operator]):
        self.parts = list(parts)
        first = self.parts[0]
        self.shape = OperatorShape(len(self.parts), first.shape.m, first.shape.n)
        self.dtype, self.device = first.dtype, first.device

    def _apply(self, v: Tensor) -> Tensor:
        return torch.cat([part.apply(v[i : i + 1]) for i, part in enumerate(self.parts)])

    def _adjoint(self, u: Tensor) -> Tensor:
        return torch.cat([part.adjoint(u[i : i + 1]) for i, part in enumerate(self.parts)])

    def select(self, images: Sequence[int]) -> Operator:
        """Return the operator of some images, in the order given."""
        # A single part directly: its own selections and pixel maps need no wrapping.
        return self.parts[images[0]] if len(images) == 1 else Together([self.parts[i] for i in images])

    def to_pixels(self, v: Tensor) -> Tensor:
        """Return P v, as any of the parts does."""
        return self.parts[0].to_pixels(v)

    def from_pixels(self, pixels: Tensor) -> Tensor:
        """Return P^T of pixels, as any of the parts does."""
        return self.parts[0].from_pixels(pixels)

    @property
    def noise(self) -> Noise | None:
        """Return the response noise, the same for all images."""
        return self.parts[0].noise

    @property
    def subspace(self) -> PixelSubspace | None:
        """Return the pixel subspace, the same for all images."""
        return self.parts[0].subspace

    @property
    def num_responses(self) -> int:
        """Return the number of responses to one image."""
        return self.parts[0].num_responses

    @property
    def images(self) -> Tensor | None:
        """Return the images (b, *image shape)."""
        images = [part.images for part in self.parts]
        return None if any(i is None for i in images) else torch.cat([i for i in images if i is not None])
