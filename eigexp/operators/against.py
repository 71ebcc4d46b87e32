"""Ratios of the sensitivities of two models, v^T F_A v / v^T (F_B + floor I) v: what one model notices and the other does not."""

import copy
import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from eigexp.errors import ConfigurationError
from eigexp.noise import Noise
from eigexp.operators.choice import linearise
from eigexp.operators.dense import dense_matrix
from eigexp.subspace import PixelSubspace
from eigexp.subspace.metric import MetricSubspace, check_coordinates, coordinates, metric_of_matrix


def against(
    model: Callable[[Tensor], Any], image: Tensor, floor: float, *, noise: Noise | None = None, subspace: PixelSubspace | None = None
) -> MetricSubspace:
    """Return the subspace in which an operator's eigenvalues are ratios to the sensitivity of `model` at one image.

    F_B is computed as a matrix in float64, by min(m, n) products, and with it the exact M^(-1/2) of M = F_B + floor I. A solver then
    works on M^(-1/2) F_A M^(-1/2), and every certificate of eigenvalues holds for the ratios.

    Args:
        model: B.
        image: (1, *image shape), or (*image shape).
        floor: added to every eigenvalue of F_B, in its units; positive, so that the ratio is bounded where B does not respond.
        noise: of the responses of B.
        subspace: to which distortions are restricted; None for all pixels.

    Raises:
        ConfigurationError: if the floor is not a positive number.
        OperatorError: if there are too many coordinates for a matrix.
        ModelError: if the model cannot be differentiated at the image in float64.
    """
    check_floor(floor)
    image = image.detach().double()
    shape = tuple(image.shape[1:])
    check_coordinates(coordinates(subspace, shape), "a second model", "solver=davidson, ")
    # In float64 whatever the solver's dtype: an error of F_B counts relative to the floor.
    precise = copy.deepcopy(model).to(image) if isinstance(model, nn.Module) else model
    B = dense_matrix(linearise(precise, image, noise=noise, subspace=subspace))[0]
    M = B.T @ B
    M.diagonal().add_(floor)
    return metric_of_matrix(subspace, M, floor)


def check_floor(floor: float) -> None:
    """Refuse a floor that bounds no ratio.

    Raises:
        ConfigurationError: if it is not a positive number.
    """
    if not (math.isfinite(floor) and floor > 0):
        raise ConfigurationError(
            f"floor={floor} must be a positive number: without it, a change to which the second model does not respond has no finite ratio."
        )
