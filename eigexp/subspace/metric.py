"""Distortions measured by a norm other than the Euclidean one: coordinates z with v = P M^(-1/2) z, so that v has norm ||z||."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Size, Tensor

from eigexp.errors import OperatorError
from eigexp.subspace.base import PixelSubspace

_ALLOWED = 1e-6  # error of M^(-1/2) M M^(-1/2), beyond which ratios are not reliable
_LARGEST = 6000  # coordinates of which M is held as a matrix; its eigenvectors take minutes there


@dataclass(frozen=True, eq=False)
class MetricSubspace(PixelSubspace):
    """A subspace whose coordinates have the norm of a metric M: the eigenvalues of an operator in them are v^T F v / v^T M v.

    Attributes:
        inner: the subspace P; None for all pixels.
        root: the symmetric map z -> M^(-1/2) z of coordinates (..., n), in any dtype.
        error: a bound on ||M^(-1/2) M M^(-1/2) - I||, which bounds the relative error of eigenvalues (Ostrowski's theorem).
        floor: the part of M that is a multiple of the identity, if it keeps M from being singular.
    """

    name: ClassVar[str] = "metric"

    inner: PixelSubspace | None
    root: Callable[[Tensor], Tensor]
    error: float
    floor: float | None = None

    def dimension(self, image_shape: tuple[int, ...]) -> int:
        """Return the number of coordinates of the inner subspace."""
        return coordinates(self.inner, image_shape)

    def to_pixels(self, v: Float[Tensor, "*more n"], image_shape: tuple[int, ...]) -> Float[Tensor, "*more pixels"]:
        """Return P M^(-1/2) z."""
        z = self.root(v)
        return z if self.inner is None else self.inner.to_pixels(z, image_shape)

    def from_pixels(self, pixels: Float[Tensor, "*more pixels"], image_shape: tuple[int, ...]) -> Float[Tensor, "*more n"]:
        """Return M^(-1/2) P^T of pixels: the transpose of `to_pixels`."""
        return self.root(pixels if self.inner is None else self.inner.from_pixels(pixels, image_shape))


def coordinates(subspace: PixelSubspace | None, image_shape: tuple[int, ...]) -> int:
    """Return the number of coordinates of a subspace; that of all pixels for None."""
    return Size(image_shape).numel() if subspace is None else subspace.dimension(image_shape)


def check_coordinates(n: int, what: str, instead: str = "") -> None:
    """Refuse a metric whose matrix would be too large.

    Args:
        n: number of coordinates.
        what: needs the matrix.
        instead: a setting that needs none, followed by a comma.

    Raises:
        OperatorError: naming n, and what to do.
    """
    if n > _LARGEST:
        raise OperatorError(
            f"{what} needs a matrix of n={n} coordinates, but the limit is {_LARGEST}. Set {instead}a smaller images.size, or a subspace."
        )


def metric_of_matrix(inner: PixelSubspace | None, M: Float[Tensor, "n n"], floor: float | None = None) -> MetricSubspace:
    """Return the subspace whose metric is a positive definite matrix in float64, with the error of its root measured.

    Raises:
        OperatorError: if M is nearly singular.
    """
    values, Q = torch.linalg.eigh((M + M.T) / 2)
    if float(values[0]) <= 0:
        raise OperatorError(f"the metric has the eigenvalue {float(values[0]):.3g}, but must be positive definite. Set a larger floor.")
    R = (Q * values.rsqrt()) @ Q.T
    error = float(torch.linalg.matrix_norm(R @ M @ R - torch.eye(len(M), dtype=M.dtype, device=M.device)))
    if error > _ALLOWED:
        raise OperatorError(f"the metric is nearly singular: its root has an error of {error:.1e}. Set a larger floor.")
    return MetricSubspace(inner, lambda z: z @ R.to(z), error, floor)
