"""Principal distortions in one call, for notebooks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from eigexp.noise import Noise
from eigexp.pairs import EigenPairs
from eigexp.principal.models import ModelsOperator, models_operator
from eigexp.principal.solver import Principal
from eigexp.subspace import PixelSubspace


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
    return search(models_operator(models, image, floor, noise=noise, subspace=subspace), restarts, seed)


def search(A: ModelsOperator, restarts: int = 4, seed: int = 0) -> PrincipalDistortions:
    """Return the best pair of directions for the models of an operator."""
    solver = Principal(restarts=restarts)
    state = solver.init(A, seed)
    while not solver.done(state):
        state = solver.step(A, state)
    (pairs,) = solver.certificate(A, solver.pairs(state), state, solver.progress(state))
    return _of(pairs)


def _of(pairs: EigenPairs) -> PrincipalDistortions:
    return PrincipalDistortions(distortions=pairs.eigendistortions, **pairs.facts["principal"])
