"""The search for principal distortions: L-BFGS from the extremal distortions of every pair of models, and from random directions."""

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from eigexp.errors import ConfigurationError
from eigexp.noise import Noise
from eigexp.operators.choice import linearise
from eigexp.operators.dense import dense_matrix
from eigexp.principal.objective import extremal_ratios, largest_curvature, log_sensitivities, upper_bound, value_and_gradient
from eigexp.subspace import PixelSubspace
from eigexp.subspace.metric import check_coordinates, coordinates


@dataclass(frozen=True)
class PrincipalDistortions:
    """Two unit distortions u and v that maximise Var_n ln(u^T F_n u / v^T F_n v) over models n, as found by a local search.

    Attributes:
        distortions: u and v, shape (2, *image shape).
        log_sensitivities: ln w^T (F_n + floor I) w, shape (models, 2).
        value: the variance.
        bound: upper bound of the variance for any two distortions.
        gradient: norm of the value's gradient along the unit spheres.
        curvature: largest eigenvalue of its Hessian there: at most zero, up to rounding, at a local maximum.
        restarts: the values that the search reached, largest first.
        evaluations: number of evaluations of value and gradient.
        products: number of products with a Jacobian or its transpose, of all models together.
    """

    distortions: Tensor
    log_sensitivities: Tensor
    value: float
    bound: float
    gradient: float
    curvature: float
    restarts: tuple[float, ...]
    evaluations: int
    products: int

    @property
    def share(self) -> float:
        """Return the value divided by its bound: at least this fraction of the maximum was found."""
        return self.value / self.bound if self.bound > 0 else 1.0


def principal_distortions(
    models: Sequence[Callable[[Tensor], Any]],
    image: Tensor,
    floor: float,
    *,
    noise: Noise | None = None,
    subspace: PixelSubspace | None = None,
    restarts: int = 4,
    seed: int = 0,
) -> PrincipalDistortions:
    """Return the two distortions about whose relative visibility the models disagree most (Feather et al. 2025).

    Without a floor there is no maximum if one model has a null direction, so the floor is an argument without a default.

    Args:
        models: two or more.
        image: (1, *image shape).
        floor: added to every eigenvalue of each F_n.
        noise: of the responses; None for unit Gaussian noise.
        subspace: to which distortions are restricted; None for all pixels.
        restarts: number of random starts, in addition to one from each pair of models.
        seed: of the random starts.

    Raises:
        ConfigurationError: if there are fewer than two models, or the floor is not a positive number.
        OperatorError: if there are too many coordinates for matrices.
    """
    if len(models) < 2:
        raise ConfigurationError(f"principal distortions compare models, but {len(models)} was given. Give two or more.")
    if not (math.isfinite(floor) and floor > 0):
        raise ConfigurationError(
            f"floor={floor} must be a positive number: without it, a change to which a model does not respond has no finite ratio."
        )
    image, shape = image.detach().double(), tuple(image.shape[1:])
    n = coordinates(subspace, shape)
    check_coordinates(n, "principal distortions")
    matrices = [_jacobian(model, image, noise, subspace) for model in models]
    F = torch.stack([J.T @ J + floor * torch.eye(n, dtype=torch.float64) for J in matrices])
    products = sum(min(J.shape) for J in matrices)
    found = search(F, restarts, seed)
    pixels = found.distortions if subspace is None else subspace.to_pixels(found.distortions, shape)
    return PrincipalDistortions(**{**found.__dict__, "distortions": pixels.view(2, *shape), "products": products})


def search(F: Tensor, restarts: int = 4, seed: int = 0) -> PrincipalDistortions:
    """Return the best pair of directions for metrics (models, n, n), float64 and positive definite."""
    pairs = [extremal_ratios(F[a], F[b]) for a, b in itertools.combinations(range(len(F)), 2)]
    generator = torch.Generator().manual_seed(seed)
    starts = [vectors for _, vectors, _ in pairs]
    starts += [torch.randn(2, F.shape[1], generator=generator, dtype=torch.float64) for _ in range(restarts)]
    reached = [_climb(F, start) for start in starts]
    value, uv, _ = max(reached, key=lambda r: r[0])
    uv = uv / uv.norm(dim=1, keepdim=True)
    return PrincipalDistortions(
        distortions=uv,
        log_sensitivities=log_sensitivities(F, uv),
        value=value,
        bound=upper_bound([ratios for ratios, _, _ in pairs], [error for _, _, error in pairs], len(F)),
        gradient=float(value_and_gradient(F, uv)[1].norm()),
        curvature=largest_curvature(F, uv),
        restarts=tuple(sorted((r[0] for r in reached), reverse=True)),
        evaluations=sum(r[2] for r in reached),
        products=0,
    )


def _climb(F: Tensor, start: Tensor) -> tuple[float, Tensor, int]:
    """Return the value and directions that L-BFGS reaches from a start, and its evaluations."""
    # The value does not depend on lengths: steps stay at unit scale without a constraint.
    start = start / start.norm(dim=1, keepdim=True)

    def descend(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = value_and_gradient(F, torch.from_numpy(x).view(2, -1))
        return -value, -gradient.flatten().numpy()

    options = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-14, "gtol": 1e-9}
    done = minimize(descend, start.flatten().numpy(), jac=True, method="L-BFGS-B", options=options)
    return -float(done.fun), torch.from_numpy(done.x).view(2, -1), int(done.nfev)


def _jacobian(model: Callable[[Tensor], Any], image: Tensor, noise: Noise | None, subspace: PixelSubspace | None) -> Tensor:
    precise = copy.deepcopy(model).double() if isinstance(model, nn.Module) else model
    return dense_matrix(linearise(precise, image, noise=noise, subspace=subspace))[0]
