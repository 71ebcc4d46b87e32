"""Both ends of the spectrum from one Krylov space, with guesses, a check for repeated eigenvalues and a verification of the bottom.

The space grows by the residual of the first wanted pair that has not converged, top before bottom; from one random start, without guesses
and restarts, that spans the Lanczos space (Golub and Kahan 1965; Parlett 1998, chapter 13). Structural guesses of the bottom are tried once
the top has converged, and kept only where they beat the bottom at hand. What was found is then doubted: a fresh random vector looks for
repeated eigenvalues at the top, and, where the bottom is not proven and a guess was used, a Krylov space of its own looks below it.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from eigexp.errors import ConfigurationError
from eigexp.linalg.orthonormal import norm, orthogonal_to
from eigexp.operators.base import SensitivityOperator
from eigexp.pairs import Evidence, RitzPairs
from eigexp.solvers.base import Answer, ImageState, Progress, Request, Solver
from eigexp.solvers.extraction import Wanted, ritz_pairs, shrunk_pairs
from eigexp.solvers.guesses import ROUNDS, structural_guesses
from eigexp.solvers.krylov_image import KrylovImage
from eigexp.solvers.krylov_space import KrylovSpace
from eigexp.solvers.settings import check_counts, check_positive, check_precision, check_sizes

_VERIFY_MINIMUM = 8
_PATIENCE = 12  # steps that the bottom is given after the first guesses before the next are tried, its value being proven


@dataclass(frozen=True)
class Krylov(Solver):
    """Certified extremal pairs of both ends from one Krylov space.

    Attributes:
        k: number of pairs at each end.
        k_top: number at the top, if other than k.
        k_bottom: number at the bottom, if other than k.
        tol: residual norms wanted, relative to the largest eigenvalue.
        bottom_rtol: residual norms wanted at the bottom, relative to the bottom eigenvalue itself; None does not ask.
        max_steps: products a single image may take, before it stops as "budget".
        max_basis: size of the space at which it restarts with the best Ritz vectors.
        guesses: try structural guesses of the bottom.
        check_multiplicity: steps with a fresh random vector that look for repeated eigenvalues at the top; 0 skips, and claims no
            evidence.
        verify: verify a bottom that a guess helped to find and that is not proven.
    """

    name: ClassVar[str] = "krylov"
    image_state: ClassVar[type[ImageState]] = KrylovImage

    k: int = 1
    k_top: int | None = None
    k_bottom: int | None = None
    tol: float = 1e-4
    bottom_rtol: float | None = None
    max_steps: int = 1000
    max_basis: int = 300
    guesses: bool = True
    check_multiplicity: int = 10
    verify: bool = True

    def __post_init__(self) -> None:
        check_positive(tol=self.tol, bottom_rtol=self.bottom_rtol, max_steps=self.max_steps, max_basis=self.max_basis)
        check_counts(k=self.k, k_top=self.k_top, k_bottom=self.k_bottom)
        if self.check_multiplicity < 0:
            raise ConfigurationError(f"solver.check_multiplicity={self.check_multiplicity} must not be negative. 0 skips the check.")

    @property
    def _top(self) -> int:
        return self.k if self.k_top is None else self.k_top

    @property
    def _bottom(self) -> int:
        return self.k if self.k_bottom is None else self.k_bottom

    @property
    def _limit(self) -> int:
        """Size at which a space restarts: never so small that a restart leaves no room to grow."""
        return max(self.max_basis, 2 * (self._top + 3 + self._bottom + 8))

    def start(self, A: SensitivityOperator, image: int, rng: Tensor) -> KrylovImage:
        """A random direction, and nothing known."""
        n = A.shape.n
        check_sizes(self._top, self._bottom, n)
        check_precision(self.tol, A.dtype)
        empty = KrylovSpace.empty(n, A.dtype, A.device)
        none = torch.empty(0, n, dtype=A.dtype, device=A.device)
        direction, rng = _random_orthogonal(none, n, rng)
        return KrylovImage(
            request=Request("fisher", direction[None]),
            fisher_vector_products=0.0,
            steps=0,
            status="running",
            phase="krylov",
            space=empty,
            check=empty,
            found=none,
            queue=none,
            quotients=torch.empty(0, dtype=torch.float64),
            rounds=0 if self.guesses and self._bottom else ROUNDS,
            guessed_at=0,
            guess_kept=False,
            fresh=0,
            reference=torch.empty(0, dtype=torch.float64),
            distinct=not (self.check_multiplicity and self._top),
            eigenindex=torch.empty(0, dtype=torch.int64),
            coefficients=torch.empty(0, 0, dtype=torch.float64),
            values=torch.empty(0, dtype=torch.float64),
            residuals=torch.full((len(self._wanted(n).eigenindex),), torch.nan, dtype=torch.float64),
            n=n,
            restarts=0,
            margin=0.0,
            evidence_top=None,
            evidence_bottom=None,
            null_fraction=None,
            rng=rng,
        )

    def advance(self, A: SensitivityOperator, image: int, state: KrylovImage, answer: Answer) -> KrylovImage:
        """Take the product into the space at hand, then decide on the next."""
        assert state.request is not None
        cost = 1.0 if state.request.kind == "fisher" else len(state.request.block) / 2
        state = replace(state, steps=state.steps + 1, fisher_vector_products=state.fisher_vector_products + cost)
        if state.phase == "guess":
            state = self._sift_guesses(state, answer)
        elif state.phase == "verify":
            state = self._grow_check(state, answer)
        else:
            state = self._grow(state, answer)
        residuals = None
        if state.phase != "verify":
            state, residuals = self._measure(state)
        return self._decide(A, image, state, residuals)

    def image_pairs(self, state: KrylovImage) -> RitzPairs:
        """The wanted pairs that the space holds."""
        return RitzPairs(
            state.eigenindex,
            state.values,
            state.space.combine(state.coefficients),
            state.evidence_top,
            state.evidence_bottom,
            state.null_fraction,
            state.margin,
        )

    def image_progress(self, state: KrylovImage) -> Progress:
        """As plain numbers; nothing is known before the space holds every wanted pair."""
        ready = len(state.eigenindex) == len(state.residuals)
        return Progress(
            phase=state.phase,
            eigenindex=tuple(state.eigenindex.tolist()) if ready else (),
            eigenvalues=tuple(state.values.tolist()) if ready else (),
            residuals=tuple(state.residuals.tolist()) if ready else (),
            largest=_largest(state) if len(state.space) else 0.0,
            tolerance=self.tol,
            fisher_vector_products=state.fisher_vector_products,
            steps=state.steps,
            done=state.done,
            status=state.status,
        )

    # ------------------------------------------------------------------ growing

    def _grow(self, state: KrylovImage, answer: Answer) -> KrylovImage:
        v, g, quotient = _product(state, answer)
        space = state.space.expand(v, g, quotient)
        restarts = state.restarts
        if len(space) >= self._limit and len(space) < state.n:
            space, restarts = self._restarted(space), restarts + 1
        return replace(state, space=space, restarts=restarts)

    def _grow_check(self, state: KrylovImage, answer: Answer) -> KrylovImage:
        v, g, quotient = _product(state, answer)
        check = state.check.expand(v, g - state.found.T @ (state.found @ g), quotient)
        if len(check) >= self._limit:
            check = self._restarted(check)
        return replace(state, check=check)

    def _sift_guesses(self, state: KrylovImage, answer: Answer) -> KrylovImage:
        """Combinations of the guesses by their Rayleigh quotients, best first."""
        assert state.request is not None and answer.forward is not None
        gram = (answer.forward.double() @ answer.forward.double().T).cpu()
        quotients, columns = torch.linalg.eigh(gram)
        queue = columns.T.to(state.queue) @ state.request.block
        return replace(state, queue=queue, quotients=quotients, rounds=state.rounds + 1, guessed_at=state.steps, phase="krylov")

    def _measure(self, state: KrylovImage) -> tuple[KrylovImage, Tensor | None]:
        """The wanted pairs into the state, and their residual vectors (k, n); None before the space holds them all."""
        wanted = self._wanted(state.n)
        pairs = ritz_pairs(state.space, wanted)
        state = replace(state, eigenindex=pairs.eigenindex, coefficients=pairs.coefficients, values=pairs.values)
        if len(pairs.eigenindex) < len(wanted.eigenindex):
            return state, None
        residuals = state.space.residuals(pairs.coefficients, pairs.values)
        state = replace(state, residuals=_norms(residuals))
        if self._bottom and self._value_proven(state) and not bool(self._converged(state)[self._top :].all()):
            state, residuals = self._measure_shrunk(state, residuals)
        return state, residuals

    def _measure_shrunk(self, state: KrylovImage, residuals: Tensor) -> tuple[KrylovImage, Tensor]:
        """Take the bottom that F shrinks most, if it shrinks it below the tolerance."""
        state = replace(state, space=state.space.with_gram())
        pairs, size = shrunk_pairs(state.space, self._wanted(state.n))
        if self.bottom_rtol is not None or size > self.tol * _largest(state):
            return state, residuals
        residuals = state.space.residuals(pairs.coefficients, pairs.values)
        return replace(state, coefficients=pairs.coefficients, values=pairs.values, residuals=_norms(residuals)), residuals

    # ------------------------------------------------------------------ deciding

    def _decide(self, A: SensitivityOperator, image: int, state: KrylovImage, residuals: Tensor | None) -> KrylovImage:
        if len(state.space) >= state.n:
            return self._finish(replace(state, distinct=True), bottom="krylov")
        if state.steps >= self.max_steps:
            return self._finish(state, bottom=None)
        if residuals is None and state.phase != "verify":
            return self._expand(state, state.space.last_image())
        if state.phase == "verify":
            return self._judge_check(state)
        if state.phase == "multiplicity":
            if state.fresh:
                return self._expand(replace(state, fresh=state.fresh - 1), state.space.last_image())
            moved = (state.space.values[: self._top] - state.reference).abs() > 2 * self.tol * state.space.values[0]
            state = replace(state, phase="krylov", distinct=not bool(moved.any()))
        assert residuals is not None
        return self._continue(A, image, state, residuals)

    def _continue(self, A: SensitivityOperator, image: int, state: KrylovImage, residuals: Tensor) -> KrylovImage:
        open_pairs = (~self._converged(state)).nonzero().flatten().tolist()
        top_open = bool(open_pairs) and open_pairs[0] < self._top
        if not top_open and len(state.queue):
            if state.quotients[0] <= state.values[-self._bottom]:
                guess = state.queue[0]
                state = replace(state, queue=state.queue[1:].clone(), quotients=state.quotients[1:].clone(), guess_kept=True)
                return self._expand(state, guess)
            state = replace(state, queue=state.queue[:0].clone(), quotients=state.quotients[:0].clone())
        if not top_open and self._guesses_due(state, bottom_open=bool(open_pairs)):
            guesses = structural_guesses(A, image, state.rounds)
            if len(guesses):
                return replace(state, phase="guess", request=Request("forward", guesses))
            state = replace(state, rounds=ROUNDS)
        if open_pairs:
            return self._expand(state, residuals[open_pairs[0]])
        if not state.distinct:
            return self._look_for_repeated(state)
        return self._judge_bottom(state)

    def _guesses_due(self, state: KrylovImage, *, bottom_open: bool) -> bool:
        """The first round once the top is done; the next where the bottom needs it: at once, or late where its value is proven."""
        if state.rounds == 0 or state.rounds == ROUNDS or not self._value_proven(state):
            return state.rounds < ROUNDS
        return bottom_open and state.steps >= state.guessed_at + _PATIENCE

    def _expand(self, state: KrylovImage, direction: Tensor) -> KrylovImage:
        """Ask for the product with the new part of a direction, or with a random one where nothing is new."""
        t = state.space.orthogonal_part(direction)
        rng = state.rng
        if t is None:
            t, rng = _random_orthogonal(state.space.V.rows, state.n, rng)
        return replace(state, request=Request("fisher", t[None]), rng=rng)

    def _look_for_repeated(self, state: KrylovImage) -> KrylovImage:
        """A single-vector Krylov space sees one vector of each eigenspace; a fresh random vector shows the others (solver's check)."""
        t, rng = _random_orthogonal(state.space.V.rows, state.n, state.rng)
        reference = state.space.values[: self._top].clone()
        return replace(
            state, phase="multiplicity", fresh=self.check_multiplicity, reference=reference, request=Request("fisher", t[None]), rng=rng
        )

    def _judge_bottom(self, state: KrylovImage) -> KrylovImage:
        if not self._bottom:
            return self._finish(state, bottom=None)
        if self._value_proven(state):
            return self._finish(state, bottom="proven")
        if not state.guess_kept:
            return self._finish(state, bottom="krylov")
        if not self.verify:
            return self._finish(state, bottom="converged")
        found = state.space.combine(state.coefficients[-self._bottom :])
        t, rng = _random_orthogonal(found, state.n, state.rng)
        empty = KrylovSpace.empty(state.n, found.dtype, found.device)
        return replace(state, phase="verify", found=found, check=empty, request=Request("fisher", t[None]), rng=rng)

    def _judge_check(self, state: KrylovImage) -> KrylovImage:
        """Compare the smallest Ritz value outside the found vectors with the largest bottom value found."""
        theta, mu = float(state.values[-self._bottom]), float(state.check.values[-1])
        allowed = self._bottom_tolerance(state, theta)
        residual, r = state.check.residual(-1)
        if mu < theta - allowed:
            lower = state.check.combine(state.check.vectors[-1:])
            empty = KrylovSpace.empty(state.n, lower.dtype, lower.device)
            return self._expand(replace(state, phase="krylov", check=empty, found=lower[:0]), lower[0])
        complete = len(state.check) + self._bottom >= state.n
        if complete or (len(state.check) >= _VERIFY_MINIMUM and (r <= (mu - theta) / 4 or r <= allowed)):
            return self._finish(replace(state, margin=max(0.0, theta - (mu - r))), bottom="krylov")
        residual = residual - state.found.T @ (state.found @ residual)
        t = state.check.orthogonal_part(residual)
        rng = state.rng
        if t is None:
            t, rng = _random_orthogonal(torch.cat([state.found, state.check.V.rows]), state.n, rng)
        return replace(state, request=Request("fisher", t[None]), rng=rng)

    def _finish(self, state: KrylovImage, bottom: Evidence | None) -> KrylovImage:
        """No further request; the space shrinks to the wanted vectors. `bottom` is None where the budget ended the search."""
        converged = self._converged(state)
        top_met, bottom_met = bool(converged[: self._top].all()), bool(converged[self._top :].all())
        top: Evidence = "budget" if not top_met else "krylov" if state.distinct and self.check_multiplicity else "converged"
        if bottom is None:
            bottom = "converged" if bottom_met else "budget"
        null = state.space.vectors[state.space.values < 1e-6 * _largest(state), 0].square().sum()
        empty = KrylovSpace.empty(state.n, state.found.dtype, state.found.device)
        return replace(
            state,
            request=None,
            phase="finished",
            status="converged" if top_met and bottom_met else "budget",
            space=state.space.restart(state.coefficients, state.values),
            coefficients=torch.eye(len(state.values), dtype=torch.float64),
            check=empty,
            found=state.found[:0].clone(),
            queue=state.queue[:0].clone(),
            quotients=state.quotients[:0].clone(),
            evidence_top=top if self._top else None,
            evidence_bottom=bottom if self._bottom else None,
            null_fraction=None if state.restarts else float(null),
        )

    # ------------------------------------------------------------------ conventions

    def _wanted(self, n: int) -> Wanted:
        return Wanted(n, self._top, self._bottom)

    def _restarted(self, space: KrylovSpace) -> KrylovSpace:
        """The space of the Ritz vectors that matter."""
        keep = sorted({*range(self._top + 3), *range(len(space) - self._bottom - 8, len(space))})
        return space.restart(space.vectors[keep], space.values[keep])

    def _converged(self, state: KrylovImage) -> Tensor:
        """Which wanted pairs have met the tolerances, shape (k,)."""
        if len(state.values) < len(state.residuals):
            return torch.zeros(len(state.residuals), dtype=torch.bool)
        largest = _largest(state)
        met = state.residuals <= self.tol * largest
        if self.bottom_rtol is not None:
            zero = state.values <= 4 * torch.finfo(state.space.V.rows.dtype).eps * largest
            met &= (state.eigenindex < self._top) | zero | (state.residuals <= self.bottom_rtol * state.values)
        return met

    def _value_proven(self, state: KrylovImage) -> bool:
        """The bottom values are within the tolerance of zero, which no eigenvalue is below."""
        largest, theta = _largest(state), float(state.values[-self._bottom])
        rounding = 4 * torch.finfo(state.space.V.rows.dtype).eps * largest
        return theta + rounding <= self.tol * largest and (self.bottom_rtol is None or theta <= rounding)

    def _bottom_tolerance(self, state: KrylovImage, theta: float) -> float:
        absolute = self.tol * _largest(state)
        return absolute if self.bottom_rtol is None else min(absolute, self.bottom_rtol * max(theta, 0.0))


def _largest(state: KrylovImage) -> float:
    return float(state.space.values[0])


def _norms(vectors: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float64).cpu()


def _product(state: KrylovImage, answer: Answer) -> tuple[Tensor, Tensor, float]:
    assert state.request is not None and answer.forward is not None and answer.back is not None
    return state.request.block[0], answer.back[0], norm(answer.forward[0]) ** 2


def _random_orthogonal(rows: Tensor, n: int, rng: Tensor) -> tuple[Tensor, Tensor]:
    """A random unit vector (n,) orthogonal to the rows, and the generator's next state."""
    generator = torch.Generator()
    generator.set_state(rng)
    while True:
        draw = torch.randn(n, generator=generator, dtype=torch.float64).to(rows)
        t = orthogonal_to(rows, draw)
        if t is not None:
            return t, generator.get_state()
