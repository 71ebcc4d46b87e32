"""Operators of single images as the operator of all of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from eigexp.operators.base import Operator, OperatorShape


class Together(Operator):
    """One image's product after the other: on a CPU that costs what a batch costs, and any choice of images is there at once."""

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
        """The operator of some images, in the order given."""
        return self.parts[images[0]] if len(images) == 1 else Together([self.parts[i] for i in images])

    def to_pixels(self, v: Tensor) -> Tensor:
        """As any of theirs."""
        return self.parts[0].to_pixels(v)

    def from_pixels(self, pixels: Tensor) -> Tensor:
        """As any of theirs."""
        return self.parts[0].from_pixels(pixels)

    @property
    def images(self) -> Tensor | None:
        """The images (b, *image shape)."""
        images = [part.images for part in self.parts]
        return None if any(i is None for i in images) else torch.cat([i for i in images if i is not None])
