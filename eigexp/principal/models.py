"""Several models at one image as one operator, whose responses are those of all models, one below the other."""

import copy
import itertools
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eigexp.errors import ConfigurationError, OperatorError
from eigexp.noise import Noise
from eigexp.operators.base import Operator, OperatorShape
from eigexp.operators.choice import linearise
from eigexp.operators.dense import dense_matrix
from eigexp.principal.objective import Extremes, Metrics, extremal_ratios
from eigexp.subspace import PixelSubspace
from eigexp.subspace.metric import check_coordinates, coordinates
from eigexp.system.memory import check_memory


class ModelsOperator(Operator):
    """A = [R_1; ...; R_N] with R_n^T R_n = F_n + floor I, as matrices in float64.

    Args:
        metrics: F_n + floor I of each model, positive definite.
        sources: the models linearised in float64, of whom certificates take fresh products; empty for metrics without models.
        floor: what was added to the F_n of the sources.

    Raises:
        OperatorError: if a metric is not positive definite to rounding.
    """

    def __init__(self, metrics: Metrics, sources: Sequence[Operator] = (), floor: float = 0.0):
        self.metrics, self.sources, self.floor = metrics, tuple(sources), floor
        roots, failed = torch.linalg.cholesky_ex(metrics, upper=True)
        if bool(failed.any()):
            raise OperatorError(f"floor={floor:g} is lost in the rounding of a model's Fisher information. Set a larger floor.")
        self.roots = roots
        self.shape = OperatorShape(1, metrics.shape[0] * metrics.shape[1], metrics.shape[2])
        self.dtype, self.device = metrics.dtype, metrics.device

    @property
    def num_models(self) -> int:
        """Return the number of models."""
        return len(self.metrics)

    @cached_property
    def extremes(self) -> list[Extremes]:
        """Return the extremal ratios of every pair of models, with their vectors."""
        return [extremal_ratios(self.metrics[a], self.metrics[b]) for a, b in itertools.combinations(range(self.num_models), 2)]

    @cached_property
    def _factor(self) -> Tensor:
        """L with L L^T = sum_n F_n."""
        return torch.linalg.cholesky(self.metrics.sum(0))

    def whitened(self, w: Tensor) -> Tensor:
        """Return z = L^T w of directions (k, n), coordinates in which the sum of all metrics is the identity."""
        return w @ self._factor

    def unwhitened(self, z: Tensor) -> Tensor:
        """Return w = L^-T z, the directions of whitened coordinates (k, n)."""
        return torch.linalg.solve_triangular(self._factor, z, upper=False, left=False)

    def whitened_gradient(self, gradient: Tensor) -> Tensor:
        """Return L^-1 of a gradient in w (k, n): the gradient in z."""
        return torch.linalg.solve_triangular(self._factor.mT, gradient, upper=True, left=False)

    def fresh(self, uv: Float[Tensor, "two n"]) -> Float[Tensor, "models two n"]:
        """Return (F_n + floor I) of two directions, by fresh products of the models where there are any."""
        if not self.sources:
            return uv @ self.metrics
        return torch.stack([A.fisher(uv[None])[0] + self.floor * uv for A in self.sources])

    def select(self, images: Sequence[int]) -> Operator:
        """Return itself: it has one image."""
        return self

    def to_pixels(self, v: Tensor) -> Tensor:
        """Return the changes of pixels that coordinates stand for."""
        return self.sources[0].to_pixels(v) if self.sources else v

    def from_pixels(self, pixels: Tensor) -> Tensor:
        """Return the coordinates of changes of pixels."""
        return self.sources[0].from_pixels(pixels) if self.sources else pixels

    @property
    def images(self) -> Tensor | None:
        """Return the image with a leading axis."""
        return self.sources[0].images if self.sources else None

    @property
    def num_responses(self) -> int:
        """Return the number of responses of all models together."""
        return sum(A.num_responses for A in self.sources) or self.shape.m

    def _apply(self, v: Tensor) -> Tensor:
        return torch.einsum("nij,bkj->bkni", self.roots, v).flatten(2)

    def _adjoint(self, u: Tensor) -> Tensor:
        return torch.einsum("nij,bkni->bkj", self.roots, u.unflatten(2, (self.num_models, -1)))


def models_operator(
    models: Sequence[Callable[[Tensor], Any]],
    image: Tensor,
    floor: float,
    *,
    noise: Noise | None = None,
    subspace: PixelSubspace | None = None,
) -> ModelsOperator:
    """Return the operator of several models at one image, by min(m, n) products of each model in float64.

    Args:
        models: two or more.
        image: (1, *image shape).
        floor: added to every eigenvalue of each F_n, in its units.
        noise: of the responses; None for unit Gaussian noise.
        subspace: to which distortions are restricted; None for all pixels.

    Raises:
        ConfigurationError: if there are fewer than two models, or the floor is not a positive number.
        OperatorError: if there are too many coordinates for matrices.
        MemoryLimitError: if the matrices do not fit.
        ModelError: if a model cannot be differentiated at the image in float64.
    """
    if len(models) < 2:
        raise ConfigurationError(f"principal distortions compare models, but {len(models)} was given. Give two or more.")
    if not 0 < floor < float("inf"):
        raise ConfigurationError(
            f"floor={floor} must be a positive number: without it, a change to which a model does not respond has no finite ratio."
        )
    image = image.detach().double()
    n = coordinates(subspace, tuple(image.shape[1:]))
    check_coordinates(n, "principal distortions")
    what = f"principal distortions of {len(models)} models with n={n} coordinates"
    check_memory(3 * len(models) * n * n * image.itemsize, image.device, what, "Set a smaller images.size, or a subspace.")
    sources = [linearise(_precise(model, image), image, noise=noise, subspace=subspace) for model in models]
    F = torch.stack([J.T @ J for J in (dense_matrix(A)[0] for A in sources)])
    F.diagonal(dim1=1, dim2=2).add_(floor)
    return ModelsOperator(F, sources, floor)


def _precise(model: Callable[[Tensor], Any], image: Tensor) -> Callable[[Tensor], Any]:
    return copy.deepcopy(model).to(image) if isinstance(model, nn.Module) else model
