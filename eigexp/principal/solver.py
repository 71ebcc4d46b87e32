"""Principal distortions as a solver: one step is one evaluation of the disagreement and its gradient, at a point that L-BFGS chooses.

Starts are the extremal distortions of every pair of models, then random directions. They are climbed one after the other.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from eigexp.errors import ConfigurationError
from eigexp.operators.base import Operator
from eigexp.pairs import EigenPairs, Evidence, RitzPairs
from eigexp.principal.certificate import certified
from eigexp.principal.line_search import Climb
from eigexp.principal.models import ModelsOperator
from eigexp.principal.objective import deviations, gradient_weights, group_ratios, slopes
from eigexp.solvers.base import Answer, ImageState, ProductKind, Progress, Request, Solver, SolverState, changed
from eigexp.solvers.settings import check_positive


@dataclass(frozen=True, kw_only=True)
class PrincipalState(ImageState):
    """One image's state.

    Attributes:
        starts: directions, (starts, 2, n).
        reached: the value at the end of each climb so far.
        climb: from the start that is under way, or the last one, in whitened coordinates, which L-BFGS needs fewer steps in.
        point: the directions where the climb is, (2, n).
        logs: ln w^T F_n w there, (models, 2).
        slopes: norm of the gradient of the root of the variance there, along the sphere of each direction, (2,).
        best: the directions with the largest value among the ends of climbs, with `best_logs` and `best_slopes`.
    """

    starts: Tensor
    reached: Tensor
    climb: Climb
    point: Tensor
    logs: Tensor
    slopes: Tensor
    best: Tensor
    best_logs: Tensor
    best_slopes: Tensor

    def to_dict(self) -> dict[str, Any]:
        """Return the state as a flat dict."""
        flat = super().to_dict()
        return flat | {f"climb.{key}": value for key, value in vars(flat.pop("climb")).items()}

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> Self:
        """Return the state that `to_dict` described."""
        climb = {key: value for key, value in flat.items() if key.startswith("climb.")}
        rest = {key: value for key, value in flat.items() if key not in climb}
        return super().from_dict(rest | {"climb": Climb(**{key.removeprefix("climb."): value for key, value in climb.items()})})


@dataclass(frozen=True)
class Principal(Solver):
    """Two distortions u, v about whose relative visibility several models disagree most: max Var_n ln(u^T F_n u / v^T F_n v).

    After Feather et al., *Discriminating image representations with principal distortions* (ICLR 2025). Its operator is a
    `ModelsOperator`. The pair with eigenindex 0 is u, the last one v, and their eigenvalues are `group_ratios`.

    Args:
        restarts: number of random starts, in addition to one from each pair of models.
        tol: largest slope of the root of the variance along the sphere of each direction.
        max_steps: evaluations of value and gradient, of all starts together.
    """

    name: ClassVar[str] = "principal"
    image_state: ClassVar[type[ImageState]] = PrincipalState

    restarts: int = 4
    tol: float = 1e-6
    max_steps: int = 20_000

    def __post_init__(self) -> None:
        if self.restarts < 0:
            raise ConfigurationError(f"solver.restarts={self.restarts} must be at least 0.")
        check_positive(tol=self.tol, max_steps=self.max_steps)

    @property
    def bottom_rtol(self) -> float:
        """Return the tolerance of v, that of u."""
        return self.tol

    def start(self, A: Operator, image: int, rng: Tensor) -> PrincipalState:
        """Return the state at the first start.

        Raises:
            ConfigurationError: if the operator is not one of several models.
        """
        if not isinstance(A, ModelsOperator):
            raise ConfigurationError(
                "solver.name=principal compares models, but there is one. Set experiment=principal against=[lg,onoff]."
            )
        generator = torch.Generator()
        generator.set_state(rng)
        random = torch.randn(self.restarts, 2, A.shape.n, generator=generator, dtype=torch.float64).to(A.metrics)
        starts = torch.cat([*(vectors[None] for _, vectors, _ in A.extremes), random])
        starts = starts / starts.norm(dim=2, keepdim=True)
        none, far = torch.zeros(A.num_models, 2, dtype=torch.float64), torch.full((2,), torch.inf, dtype=torch.float64)
        return PrincipalState(
            request=Request("fisher", starts[0]),
            starts=starts,
            reached=torch.empty(0, dtype=torch.float64),
            climb=Climb.at(A.whitened(starts[0])),
            point=starts[0],
            logs=none,
            slopes=far,
            best=starts[0],
            best_logs=none,
            best_slopes=far,
        )

    def product(self, A: Operator, kind: ProductKind, block: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return R_n w of every model, and A^T of them weighted, which is the gradient of the disagreement."""
        forward = A.apply(block)
        parts, sensitivities = _by_model(forward[0], A.shape.m // A.shape.n)
        weighted = gradient_weights(sensitivities).T[:, :, None] * parts
        return forward, A.adjoint(weighted.flatten(1)[None])

    def advance(self, A: Operator, image: int, state: PrincipalState, answer: Answer) -> PrincipalState:
        """Return the state after the value and the gradient at the point that was requested."""
        assert isinstance(A, ModelsOperator) and state.request is not None and answer.forward is not None and answer.back is not None
        uv, logs = state.request.block, _by_model(answer.forward, A.num_models)[1].log().cpu()
        value = float(deviations(logs).square().mean())
        climb = state.climb.after(value, A.whitened_gradient(answer.back))
        state = changed(state, climb=climb, steps=state.steps + 1, fisher_vector_products=state.fisher_vector_products + 2)
        if climb.tries == 0:  # it has moved to this point
            state = changed(state, point=uv, logs=logs, slopes=slopes(value, answer.back, uv).cpu())
        if bool((state.slopes <= self.tol).all()) or climb.stuck or state.steps >= self.max_steps:
            state = self._ended(A, state)
        request = Request("fisher", A.unwhitened(state.climb.trial)) if state.status == "running" else None
        return changed(state, request=request)

    def image_pairs(self, state: PrincipalState) -> RitzPairs:
        """Return the best directions so far."""
        uv, logs, _ = _shown(state)
        evidence: Evidence = "converged" if state.status == "converged" else "budget"
        index = torch.tensor([0, uv.shape[1] - 1])
        return RitzPairs(index, group_ratios(logs), uv / uv.norm(dim=1, keepdim=True), evidence, evidence)

    def image_progress(self, state: PrincipalState) -> Progress:
        """Return the ratios of the best directions so far; the fraction is that of the starts."""
        uv, logs, slope = _shown(state)
        ratios = group_ratios(logs)
        index = torch.tensor([0, uv.shape[1] - 1])
        phase = f"start {min(len(state.reached) + 1, len(state.starts))} of {len(state.starts)}"
        return Progress.of(
            state, phase, (index, ratios, ratios * slope), float(ratios[0]), self.tol, len(state.reached) / len(state.starts)
        )

    def certificate(self, A: Operator, pairs: list[RitzPairs], state: Any, progress: list[Progress]) -> list[EigenPairs]:
        """Return the value with its bound, and what shows that it is a local maximum, by fresh products of the models."""
        assert isinstance(A, ModelsOperator)
        known = state.images[0] if isinstance(state, SolverState) else None
        reached = known.reached.tolist() if isinstance(known, PrincipalState) else []
        return [certified(A, pairs[0].vectors, progress[0], self.name, self.tol, reached)]

    def _ended(self, A: ModelsOperator, state: PrincipalState) -> PrincipalState:
        """Return the state after a climb: its end is kept if it is the best, and the next start is taken up."""
        value, best = state.climb.value, float(state.reached.max()) if len(state.reached) else -torch.inf
        # Of two ends that are the same to rounding, the one with the tolerance met is kept.
        if value > best and (value > best * (1 + 1e-9) or bool((state.slopes <= self.tol).all())):
            state = changed(state, best=state.point, best_logs=state.logs, best_slopes=state.slopes)
        state = changed(state, reached=torch.cat([state.reached, torch.tensor([value], dtype=torch.float64)]))
        if len(state.reached) < len(state.starts) and state.steps < self.max_steps:
            return changed(state, climb=Climb.at(A.whitened(state.starts[len(state.reached)])))
        met = len(state.reached) == len(state.starts) and bool((state.best_slopes <= self.tol).all())
        return changed(state, status="converged" if met else "budget")


def _by_model(forward: Tensor, models: int) -> tuple[Tensor, Tensor]:
    """Return R_n w, shape (2, models, n), and w^T F_n w, shape (models, 2)."""
    parts = forward.unflatten(1, (models, -1))
    return parts, parts.square().sum(2).T


def _shown(state: PrincipalState) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best directions so far, their logarithms and slopes; u is what the first model notices more than the others do."""
    uv, logs, slope = state.best, state.best_logs, state.best_slopes
    if not len(state.reached) or state.climb.value > float(state.reached.max()):
        uv, logs, slope = state.point, state.logs, state.slopes
    swap = float(deviations(logs)[0]) < 0
    return (uv.flip(0), logs.flip(1), slope.flip(0)) if swap else (uv, logs, slope)
