"""Power and orthogonal iteration: the largest by F, then the smallest by F - lambda_1 (Golub and Van Loan 1996, algorithm 8.2.8).

One product F V per iteration gives the next block, the Rayleigh quotients and the residuals. Each block is rotated to its Ritz vectors, so
that vectors are ordered by eigenvalue and not by position: on the shifted matrix the smallest eigenvalue comes first.

It never claims more than "converged". A block of k vectors can hold as many copies of an eigenvalue as are requested, but the iteration
stops on the residuals of its own vectors and cannot detect an eigenvector that its start contained too little of: with close eigenvalues
it stops before their order is determined.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from eigexp.errors import ConfigurationError
from eigexp.linalg.gaussian import gaussian_rows
from eigexp.linalg.orthonormal import orthonormal_rows
from eigexp.linalg.rayleigh_ritz import ritz
from eigexp.operators.base import Operator
from eigexp.pairs import Evidence, RitzPairs
from eigexp.solvers.base import Answer, ImageState, Progress, Request
from eigexp.solvers.both_ends import BothEnds
from eigexp.solvers.settings import check_positive


@dataclass(frozen=True)
class PowerImage(ImageState):
    """One image's state; an end that has not begun has no rows.

    Attributes:
        phase: top | bottom | finished.
        n: number of coordinates.
        largest: largest Ritz value, the shift of the bottom.
        top_values, top_vectors, top_residuals: Ritz pairs of the top block, shapes (k,), (k, n), (k,).
        bottom_values, bottom_vectors, bottom_residuals: those of the bottom block, values decreasing.
        top_met, bottom_met: that end has met the criterion of `stop`.
        rng: state of the image's own random generator.
    """

    phase: str
    n: int
    largest: float
    top_values: Tensor
    top_vectors: Tensor
    top_residuals: Tensor
    bottom_values: Tensor
    bottom_vectors: Tensor
    bottom_residuals: Tensor
    top_met: bool
    bottom_met: bool
    rng: Tensor


@dataclass(frozen=True)
class Power(BothEnds):
    """Computes extremal pairs by block power iteration: the classical method, and the baseline of the others.

    Attributes:
        max_steps: maximum number of iterations of one image, both ends together; the top leaves half of them for a requested bottom.
        stop: "residual" stops on `tol`; "delta" stops when the eigenvalues no longer change, whatever the residuals: status and
            evidence are then "converged" by that criterion.
        stop_criterion: change of the eigenvalues (Euclidean norm, in their units) below which stop="delta" stops.
    """

    name: ClassVar[str] = "power"
    image_state: ClassVar[type[ImageState]] = PowerImage

    stop: Literal["residual", "delta"] = "residual"
    stop_criterion: float = 1e-7

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(stop_criterion=self.stop_criterion)
        if self.stop not in ("residual", "delta"):
            raise ConfigurationError(f"solver.stop={self.stop} is unknown. Choose residual or delta.")

    @property
    def stops_by_residuals(self) -> bool:
        """Return whether `tol` ends an iteration."""
        return self.stop == "residual"

    def start(self, A: Operator, image: int, rng: Tensor) -> PowerImage:
        """Return a random block for the largest; of one vector where only the smallest are asked, whose shift it gives."""
        n = A.shape.n
        self.check(A)
        rows = torch.empty(0, n, dtype=A.dtype, device=A.device)
        none = torch.empty(0, dtype=torch.float64)
        # lambda_1 is needed in any case: it is the shift of the bottom and the scale of the tolerance.
        block, rng = gaussian_rows(max(self.num_top, 1), n, rng, rows)
        return PowerImage(
            request=Request("fisher", orthonormal_rows(block)),
            phase="top",
            n=n,
            largest=0.0,
            top_values=none,
            top_vectors=rows,
            top_residuals=none,
            bottom_values=none,
            bottom_vectors=rows,
            bottom_residuals=none,
            top_met=False,
            bottom_met=False,
            rng=rng,
        )

    def advance(self, A: Operator, image: int, state: PowerImage, answer: Answer) -> PowerImage:
        """Do Rayleigh-Ritz in the block, then ask for the next block, begin the other end, or finish."""
        assert state.request is not None
        block = state.request.block
        state = replace(state, steps=state.steps + 1, fisher_vector_products=state.fisher_vector_products + len(block))
        # Rayleigh-Ritz before anything else: values, residuals and the next block all come from this one product.
        values, vectors, images = _rotated(block, answer)
        residuals = images - values[:, None].to(images) * vectors
        norms = torch.linalg.vector_norm(residuals, dim=1, dtype=torch.float64).cpu()
        previous = state.top_values if state.phase == "top" else state.bottom_values
        stopped = self.stop == "delta" and len(previous) == len(values) and float((values - previous).norm()) <= self.stop_criterion
        if state.phase == "top":
            state = replace(state, top_values=values, top_vectors=vectors, top_residuals=norms, largest=float(values[0]))
            state = replace(state, top_met=stopped or self._met(norms, values, state.largest, A.dtype, bottom=False))
        else:
            state = replace(state, bottom_values=values, bottom_vectors=vectors, bottom_residuals=norms)
            state = replace(state, bottom_met=stopped or self._met(norms, values, state.largest, A.dtype, bottom=True))
        return self._decide(state, images, stopped)

    def image_pairs(self, state: PowerImage) -> RitzPairs:
        """Return the Ritz pairs of the ends that have begun."""
        index, values, vectors, _ = self._at_hand(state)
        top: Evidence = "converged" if state.top_met else "budget"
        bottom: Evidence = "converged" if self._bottom_is_met(state) else "budget"
        return RitzPairs(index, values, vectors, top if self.num_top else None, bottom if self.num_bottom else None)

    def image_progress(self, state: PowerImage) -> Progress:
        """Return the progress in plain numbers."""
        index, values, _, residuals = self._at_hand(state)
        return Progress.of(state, state.phase, (index, values, residuals), state.largest, self.tol)

    # ------------------------------------------------------------------ deciding

    def _decide(self, state: PowerImage, images: Tensor, stopped: bool) -> PowerImage:
        met = state.top_met if state.phase == "top" else state.bottom_met
        over = stopped or (met and self.stop == "residual")
        if state.phase == "top" and (over or state.steps >= self._top_budget(state)):
            return self._begin_bottom(state) if self._bottom_size(state) and state.steps < self.max_steps else self._finish(state)
        if over or state.steps >= self.max_steps:
            return self._finish(state)
        if state.phase == "bottom":
            # (F - lambda_1) v: the smallest eigenvalue of F is the largest in magnitude there, since F is positive semidefinite. That
            # lambda_1 lies a little above its Ritz value does no harm: it stays far smaller in magnitude.
            images = images - state.largest * state.bottom_vectors
        return replace(state, request=Request("fisher", orthonormal_rows(images)))

    def _begin_bottom(self, state: PowerImage) -> PowerImage:
        block, rng = gaussian_rows(self._bottom_size(state), state.n, state.rng, state.top_vectors)
        return replace(state, phase="bottom", request=Request("fisher", orthonormal_rows(block)), rng=rng)

    def _finish(self, state: PowerImage) -> PowerImage:
        met = (state.top_met or not self.num_top) and (self._bottom_is_met(state) or not self.num_bottom)
        return replace(state, request=None, phase="finished", status="converged" if met else "budget")

    def _top_budget(self, state: PowerImage) -> int:
        # Half for either end: a top that does not converge must not leave the bottom without any steps.
        return (self.max_steps + 1) // 2 if self._bottom_size(state) else self.max_steps

    def _bottom_size(self, state: PowerImage) -> int:
        """Return the vectors of the smallest block: those that the largest does not hold already."""
        # In small spaces the ends overlap: a pair of both is computed with the top.
        return min(self.num_bottom, state.n - self.num_top)

    def _bottom_is_met(self, state: PowerImage) -> bool:
        return state.bottom_met if self._bottom_size(state) else state.top_met

    def _met(self, norms: Tensor, values: Tensor, largest: float, dtype: torch.dtype, *, bottom: bool) -> bool:
        return bool(self.met(values, norms, torch.full((len(values),), bottom), largest, dtype).all())

    def _at_hand(self, state: PowerImage) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return eigenindices, values, vectors and residuals of the wanted pairs at hand."""
        index = self.wanted(state.n).eigenindex
        tops = min(self.num_top, len(state.top_values))
        bottoms = len(state.bottom_values)
        return (
            torch.cat([index[:tops], index[len(index) - bottoms :]]),
            torch.cat([state.top_values[:tops], state.bottom_values]),
            torch.cat([state.top_vectors[:tops], state.bottom_vectors]),
            torch.cat([state.top_residuals[:tops], state.bottom_residuals]),
        )


def _rotated(block: Tensor, answer: Answer) -> tuple[Tensor, Tensor, Tensor]:
    """Return Ritz values (k,), decreasing, Ritz vectors (k, n) of a block, and F of them, from one product."""
    assert answer.forward is not None and answer.back is not None
    responses = answer.forward.double()
    # By (A V)(A V)^T, not V (F V)^T: positive semidefinite, and theta is |A v|^2, as certificates compute it.
    values, q = ritz(responses @ responses.T)
    return values, q.to(block) @ block, q.to(block) @ answer.back
