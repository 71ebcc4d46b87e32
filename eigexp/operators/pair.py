"""Two models at one image as one operator, for the ratios v^T F_A v / v^T (F_B + floor I) v, by products alone."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from eigexp.noise import Noise
from eigexp.operators.against import check_floor
from eigexp.operators.base import Operator, OperatorShape
from eigexp.operators.choice import linearise
from eigexp.operators.float64 import float64_bytes, in_float64
from eigexp.operators.wrapped import WrappedOperator
from eigexp.shapes import Vectors
from eigexp.subspace import PixelSubspace


class PairOperator(WrappedOperator):
    """The responses of two models, those of the second below those of the first; images, noise and subspace are those of the first.

    Args:
        first: A.
        second: B, at the same images and in the same coordinates.
        floor: added to every eigenvalue of F_B; the least eigenvalue of M = F_B + floor I is at least this.
    """

    def __init__(self, first: Operator, second: Operator, floor: float):
        super().__init__(first)
        self.second, self.floor = second, floor
        self.shape = OperatorShape(first.shape.b, first.shape.m + second.shape.m, first.shape.n)

    def both(self, v: Vectors) -> tuple[Vectors, Vectors]:
        """Return F_A v and M v, each (b, k, n). This takes a product of either model for each vector."""
        return self.inner.fisher(v), self.second.fisher(v) + self.floor * v

    def _apply(self, v: Tensor) -> Tensor:
        return torch.cat([self.inner.apply(v), self.second.apply(v)], dim=2)

    def _adjoint(self, u: Tensor) -> Tensor:
        m = self.inner.shape.m
        return self.inner.adjoint(u[:, :, :m]) + self.second.adjoint(u[:, :, m:])

    def select(self, images: Sequence[int]) -> Operator:
        """Return the pair of some of the images."""
        return PairOperator(self.inner.select(images), self.second.select(images), self.floor)


def pair_operator(
    model: Callable[[Tensor], Any],
    against: Callable[[Tensor], Any],
    images: Tensor,
    floor: float,
    *,
    noise: Noise | None = None,
    subspace: PixelSubspace | None = None,
) -> PairOperator:
    """Return the pair of two models at images, in float64: an error of F_B counts relative to the floor.

    Args:
        model: A.
        against: B.
        images: (b, *image shape).
        floor: added to every eigenvalue of F_B, in its units; positive, so that the ratio is bounded where B does not respond.
        noise: of the responses of both.
        subspace: to which distortions are restricted; None for all pixels.

    Raises:
        ConfigurationError: if the floor is not a positive number.
        ModelError: if a model cannot be differentiated at the image in float64.
    """
    check_floor(floor)
    images = images.detach().double()
    precise = [copy.deepcopy(f).to(images) if isinstance(f, nn.Module) else f for f in (model, against)]
    A, B = (linearise(f, images, noise=noise, subspace=subspace) for f in precise)
    return PairOperator(A, B, floor)


@in_float64.register
def _(A: PairOperator, vectors: int) -> Operator | None:
    return A if A.dtype == torch.float64 else None


@float64_bytes.register
def _(A: PairOperator) -> int:
    return 0
