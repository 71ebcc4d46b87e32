"""Norms of distortions, ||v||_M^2 = v^T M v with a positive definite M, and the subspace in which vectors have unit norm."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from eigexp.subspace import PixelSubspace
from eigexp.subspace.metric import MetricSubspace, check_coordinates, coordinates, metric_of_matrix

_ROUNDING = 1e-13  # of a root that is applied in closed form


class Norm(ABC):
    """A norm ||v||_M of distortions; eigenpairs are those of F v = lambda M v.

    A subclass declares `name`, which becomes part of the ids of results, and defines `apply`.
    """

    name: ClassVar[str]

    @abstractmethod
    def apply(
        self, pixels: Float[Tensor, "*more pixels"], image_shape: tuple[int, ...], power: float = 1.0
    ) -> Float[Tensor, "*more pixels"]:
        """Return M^power of changes of pixels, symmetric."""


def measured_by(norm: Norm, subspace: PixelSubspace | None, image_shape: tuple[int, ...]) -> MetricSubspace:
    """Return a subspace with coordinates of unit norm: in closed form for all pixels, else by the matrix P^T M P.

    Raises:
        OperatorError: if that matrix would be too large.
    """
    shape = tuple(image_shape)
    if subspace is None:
        return MetricSubspace(None, lambda z: norm.apply(z, shape, -0.5), _ROUNDING)
    n = coordinates(subspace, shape)
    check_coordinates(n, f"norm={norm.name} within a subspace")
    P = subspace.to_pixels(torch.eye(n, dtype=torch.float64), shape)
    return metric_of_matrix(subspace, norm.apply(P, shape) @ P.T)
