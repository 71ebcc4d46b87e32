"""Randomised range finder with power passes, then Rayleigh-Ritz (Halko, Martinsson and Tropp 2011, algorithms 4.4 and 5.3)."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from eigexp.errors import ConfigurationError
from eigexp.linalg.gaussian import gaussian_rows
from eigexp.linalg.orthonormal import orthonormal_rows
from eigexp.linalg.rayleigh_ritz import ritz
from eigexp.operators.base import Operator, OperatorShape
from eigexp.pairs import RitzPairs
from eigexp.solvers.base import Answer, ImageState, Progress, Request, Solver, SolverState
from eigexp.solvers.settings import check_counts, check_positive, check_precision, check_sizes

_RANGE_VECTORS = 20


@dataclass(frozen=True)
class RandomizedSVDImage(ImageState):
    """One image's state.

    Attributes:
        phase: power | project | range | finished.
        n: number of coordinates.
        basis: orthonormal rows that span the approximate range; empty before it is projected, and at the end.
        values, vectors, residuals: top Ritz pairs, shapes (k,), (k, n), (k,); empty before the projection.
        next_top: value and residual of the best pair beyond those asked for, or None where the block has no more.
        range_error: mean distance of F g from the range, over 20 Gaussian vectors g; NaN before it is estimated.
        rng: state of the image's own random generator.
    """

    phase: str
    n: int
    basis: Tensor
    values: Tensor
    vectors: Tensor
    residuals: Tensor
    next_top: tuple[float, float] | None
    range_error: float
    rng: Tensor


@dataclass(frozen=True)
class RandomizedSVD(Solver):
    """The largest pairs by a fixed number of passes; one pass per step. The residuals show how accurate they are.

    It claims no more than "converged": there is no check for what the block has missed.

    Attributes:
        k: number of eigenpairs, the largest.
        p: additional vectors in the block.
        q: power passes after the first.
        tol: residual norms relative to the largest eigenvalue that count as converged.
    """

    name: ClassVar[str] = "randomized_svd"
    image_state: ClassVar[type[ImageState]] = RandomizedSVDImage

    k: int = 1
    p: int = 5
    q: int = 2
    tol: float = 1e-4

    def __post_init__(self) -> None:
        check_positive(tol=self.tol)
        check_counts(k=self.k)
        for name, value in (("p", self.p), ("q", self.q)):
            if value < 0:
                raise ConfigurationError(f"solver.{name}={value} must not be negative. Use 0 for none.")

    def start(self, A: Operator, image: int, rng: Tensor) -> RandomizedSVDImage:
        """Return a random block of k + p vectors, n at most."""
        n = A.shape.n
        check_sizes(self.k, 0, n)
        check_precision(self.tol, A.dtype)
        rows = torch.empty(0, n, dtype=A.dtype, device=A.device)
        none = torch.empty(0, dtype=torch.float64)
        block, rng = gaussian_rows(min(self.k + self.p, n), n, rng, rows)
        return RandomizedSVDImage(
            request=Request("fisher", orthonormal_rows(block)),
            phase="power",
            n=n,
            basis=rows,
            values=none,
            vectors=rows,
            residuals=none,
            next_top=None,
            range_error=math.nan,
            rng=rng,
        )

    def steps_allowed(self, shape: OperatorShape, dtype: torch.dtype) -> int:
        """Return the number of passes: over the random block, its powers, the projection, and the estimate of the range's error."""
        return self.q + 3

    def advance(self, A: Operator, image: int, state: RandomizedSVDImage, answer: Answer) -> RandomizedSVDImage:
        """Orthonormalise the pass, project onto the range, or estimate the range's error."""
        assert state.request is not None and answer.back is not None
        cost = len(state.request.block)
        state = replace(state, steps=state.steps + 1, fisher_vector_products=state.fisher_vector_products + cost)
        if state.phase == "power":
            # Orthonormalised after every pass: powers of F would turn all rows to the first eigenvector (Halko et al. 2011, algorithm 4.4).
            phase = "power" if state.steps <= self.q else "project"
            return replace(state, phase=phase, request=Request("fisher", orthonormal_rows(answer.back)))
        if state.phase == "project":
            return self._project(state, answer)
        # Gaussian vectors that the range was not made from: only such show what it lacks.
        missed = answer.back - (answer.back @ state.basis.T) @ state.basis
        error = float(torch.linalg.vector_norm(missed, dim=1, dtype=torch.float64).mean())
        met = bool((state.residuals <= self.tol * state.values[0]).all())
        status = "converged" if met else "budget"
        return replace(state, request=None, phase="finished", status=status, range_error=error, basis=state.basis[:0].clone())

    def image_pairs(self, state: RandomizedSVDImage) -> RitzPairs:
        """Return the largest Ritz pairs; none before the projection."""
        evidence = "converged" if state.status == "converged" else "budget"
        return RitzPairs(torch.arange(len(state.values)), state.values, state.vectors, evidence, None, next_top=state.next_top)

    def image_progress(self, state: RandomizedSVDImage) -> Progress:
        """Return the progress in plain numbers; the fraction counts passes."""
        largest = float(state.values[0]) if len(state.values) else 0.0
        pairs = (torch.arange(len(state.values)), state.values, state.residuals)
        return Progress.of(state, state.phase, pairs, largest, self.tol, state.steps / (self.q + 3))

    def range_error(self, state: SolverState) -> list[float]:
        """Return the error of each image's range, estimated, in units of the eigenvalues: mean of ||(1 - Q Q^T) F g|| over 20 Gaussian g.

        NaN before the last pass. It bounds the pairs that were left out only on average (Halko et al. 2011, section 4.3).
        """
        return [image.range_error for image in state.images if isinstance(image, RandomizedSVDImage)]

    def _project(self, state: RandomizedSVDImage, answer: Answer) -> RandomizedSVDImage:
        assert state.request is not None and answer.forward is not None and answer.back is not None
        basis, responses = state.request.block, answer.forward.double()
        values, q = ritz(responses @ responses.T)
        q = q.to(basis)
        vectors = q @ basis
        residuals = torch.linalg.vector_norm(q @ answer.back - values[:, None].to(basis) * vectors, dim=1, dtype=torch.float64).cpu()
        probe, rng = gaussian_rows(_RANGE_VECTORS, state.n, state.rng, basis)
        return replace(
            state,
            phase="range",
            request=Request("fisher", probe),
            basis=basis,
            values=values[: self.k].clone(),
            vectors=vectors[: self.k].clone(),
            residuals=residuals[: self.k].clone(),
            next_top=(float(values[self.k]), float(residuals[self.k])) if len(values) > self.k else None,
            rng=rng,
        )
