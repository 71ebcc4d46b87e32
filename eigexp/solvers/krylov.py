"""Both ends of the spectrum from one Krylov space, with guesses, a check for repeated eigenvalues and a verification of the bottom.

The space grows by the residual of the first wanted pair that has not converged, top before bottom; from one random start, without guesses
and restarts, that spans the Lanczos space (Golub and Kahan 1965; Parlett 1998, chapter 13). Structural guesses of the bottom are tried once
the top has converged, and kept only where they beat the bottom at hand. What was found is then doubted: a fresh random vector looks for
repeated eigenvalues at the top, and, where the bottom is not proven and a guess was used, a Krylov space of its own looks below it.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from eigexp.errors import ConfigurationError
from eigexp.linalg.orthonormal import norm, orthogonal_to
from eigexp.linalg.rayleigh_ritz import wanted_indices
from eigexp.operators.base import SensitivityOperator
from eigexp.pairs import Evidence, RitzPairs
from eigexp.solvers.base import Answer, ImageState, Progress, Request, Solver
from eigexp.solvers.guesses import ROUNDS, structural_guesses
from eigexp.solvers.krylov_space import KrylovSpace
from eigexp.solvers.settings import check_counts, check_positive, check_precision, check_sizes

_VERIFY_MINIMUM = 8


@dataclass(frozen=True)
class KrylovImage(ImageState):
    """One image's state.

    Attributes:
        rounds: rounds of guesses tried.
        phase: krylov | guess | multiplicity | verify | finished.
        space: the space that both ends come from.
        check: the space that verifies the bottom, orthogonal to `found`.
        found: the bottom vectors under verification (k, n).
        queue: kept guesses (q, n) not yet expanded, best first.
        quotients: their Rayleigh quotients (q,), float64.
        rounds: rounds of guesses tried.
        guess_kept: a guess is in the space, so that its bottom no longer rests on a random start alone.
        fresh: steps left of the check for repeated eigenvalues.
        reference: wanted top values when that check began.
        residuals: residual norms of the wanted pairs (k,), float64.
        margin: how far below the bottom value the verification leaves room, or NaN.
        rng: state of the image's own random generator.
    """

    phase: str
    space: KrylovSpace
    check: KrylovSpace
    found: Tensor
    queue: Tensor
    quotients: Tensor
    rounds: int
    guess_kept: bool
    fresh: int
    reference: Tensor
    distinct: bool
    residuals: Tensor
    eigenindex: Tensor
    n: int
    restarts: int
    margin: float
    evidence_top: Evidence | None
    evidence_bottom: Evidence | None
    null_fraction: float | None
    rng: Tensor

    def to_dict(self) -> dict[str, Any]:
        """Flat, spaces as their tensors."""
        flat = super().to_dict()
        for name in ("space", "check"):
            flat |= {f"{name}.{key}": value for key, value in flat.pop(name).to_dict().items()}
        return flat

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> Self:
        """The state that `to_dict` described."""
        values = dict(flat)
        for name in ("space", "check"):
            values[name] = KrylovSpace.from_dict({key: values.pop(f"{name}.{key}") for key in ("V", "G", "H")})
        return super().from_dict(values)


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
            guess_kept=False,
            fresh=0,
            reference=torch.empty(0, dtype=torch.float64),
            distinct=not (self.check_multiplicity and self._top),
            residuals=torch.full((len(wanted_indices(n, self._top, self._bottom)),), torch.nan, dtype=torch.float64),
            eigenindex=wanted_indices(n, self._top, self._bottom),
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
        """The wanted Ritz pairs."""
        positions = self._positions(state)
        keep = [i for i, p in enumerate(positions) if -len(state.space) <= p < len(state.space)]
        chosen = torch.tensor([positions[i] for i in keep], dtype=torch.int64)
        return RitzPairs(
            state.eigenindex[keep],
            state.space.values[chosen],
            state.space.ritz_vectors(chosen),
            state.evidence_top,
            state.evidence_bottom,
            state.null_fraction,
            state.margin,
        )

    def image_progress(self, state: KrylovImage) -> Progress:
        """As plain numbers; nothing is known before the space holds every wanted pair."""
        d = len(state.space)
        ready = d >= min(len(state.eigenindex), state.n)
        values = state.space.values[torch.tensor(self._positions(state))] if ready else torch.empty(0, dtype=torch.float64)
        return Progress(
            phase=state.phase,
            eigenindex=tuple(state.eigenindex.tolist()) if ready else (),
            eigenvalues=tuple(values.tolist()),
            residuals=tuple(state.residuals.tolist()) if ready else (),
            largest=float(state.space.values[0]) if d else 0.0,
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
            space, restarts = space.restart(self._kept_positions(len(space))), restarts + 1
        return replace(state, space=space, restarts=restarts)

    def _grow_check(self, state: KrylovImage, answer: Answer) -> KrylovImage:
        v, g, quotient = _product(state, answer)
        check = state.check.expand(v, g - state.found.T @ (state.found @ g), quotient)
        if len(check) >= self._limit:
            check = check.restart(self._kept_positions(len(check)))
        return replace(state, check=check)

    def _sift_guesses(self, state: KrylovImage, answer: Answer) -> KrylovImage:
        """Combinations of the guesses by their Rayleigh quotients, best first."""
        assert state.request is not None and answer.forward is not None
        gram = (answer.forward.double() @ answer.forward.double().T).cpu()
        quotients, columns = torch.linalg.eigh(gram)
        queue = columns.T.to(state.queue) @ state.request.block
        return replace(state, queue=queue, quotients=quotients, rounds=state.rounds + 1, phase="krylov")

    def _measure(self, state: KrylovImage) -> tuple[KrylovImage, Tensor | None]:
        """Residual vectors (k, n) of the wanted pairs, and their norms into the state; None before the space holds them all."""
        if len(state.space) < min(len(state.eigenindex), state.n):
            return state, None
        positions = torch.tensor(self._positions(state))
        residuals = state.space.residuals(positions)
        norms = torch.linalg.vector_norm(residuals, dim=1, dtype=torch.float64).cpu()
        return replace(state, residuals=norms), residuals

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
            if state.quotients[0] <= state.space.values[-self._bottom]:
                guess = state.queue[0]
                state = replace(state, queue=state.queue[1:].clone(), quotients=state.quotients[1:].clone(), guess_kept=True)
                return self._expand(state, guess)
            state = replace(state, queue=state.queue[:0].clone(), quotients=state.quotients[:0].clone())
        if not top_open and state.rounds < ROUNDS:
            guesses = structural_guesses(A, image, state.rounds)
            if len(guesses) and not (state.rounds and self._value_proven(state)):
                return replace(state, phase="guess", request=Request("forward", guesses))
            state = replace(state, rounds=ROUNDS)
        if open_pairs:
            return self._expand(state, residuals[open_pairs[0]])
        if not state.distinct:
            return self._look_for_repeated(state)
        return self._judge_bottom(state)

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
        found = state.space.ritz_vectors(torch.arange(-self._bottom, 0))
        t, rng = _random_orthogonal(found, state.n, state.rng)
        empty = KrylovSpace.empty(state.n, found.dtype, found.device)
        return replace(state, phase="verify", found=found, check=empty, request=Request("fisher", t[None]), rng=rng)

    def _judge_check(self, state: KrylovImage) -> KrylovImage:
        """Compare the smallest Ritz value outside the found vectors with the largest bottom value found."""
        theta, mu = float(state.space.values[-self._bottom]), float(state.check.values[-1])
        allowed = self._bottom_tolerance(state, theta)
        residual, r = state.check.residual(-1)
        if mu < theta - allowed:
            lower = state.check.ritz_vectors(torch.tensor([-1]))
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
        largest = state.space.values[0]
        null = state.space.vectors[state.space.values < 1e-6 * largest, 0].square().sum()
        chosen = torch.tensor(self._positions(state))
        chosen = chosen[(chosen >= -len(state.space)) & (chosen < len(state.space))]
        empty = KrylovSpace.empty(state.n, state.found.dtype, state.found.device)
        return replace(
            state,
            request=None,
            phase="finished",
            status="converged" if top_met and bottom_met else "budget",
            space=state.space.restart(chosen),
            check=empty,
            found=state.found[:0].clone(),
            queue=state.queue[:0].clone(),
            quotients=state.quotients[:0].clone(),
            evidence_top=top if self._top else None,
            evidence_bottom=bottom if self._bottom else None,
            null_fraction=None if state.restarts else float(null),
        )

    # ------------------------------------------------------------------ conventions

    def _positions(self, state: KrylovImage) -> list[int]:
        """Where the wanted pairs stand among the Ritz values: tops from the front, the others from the end."""
        return [int(i) if i < self._top else int(i) - state.n for i in state.eigenindex]

    def _kept_positions(self, d: int) -> Tensor:
        return torch.tensor(sorted({*range(self._top + 3), *range(d - self._bottom - 8, d)}))

    def _converged(self, state: KrylovImage) -> Tensor:
        """Which wanted pairs have met the tolerances, shape (k,)."""
        if len(state.space) < min(len(state.eigenindex), state.n):
            return torch.zeros(len(state.eigenindex), dtype=torch.bool)
        met = state.residuals <= self.tol * float(state.space.values[0])
        if self.bottom_rtol is not None:
            values = state.space.values[torch.tensor(self._positions(state))]
            zero = values <= 4 * torch.finfo(state.space.V.rows.dtype).eps * state.space.values[0]
            met &= (state.eigenindex < self._top) | zero | (state.residuals <= self.bottom_rtol * values)
        return met

    def _value_proven(self, state: KrylovImage) -> bool:
        """The bottom values are within the tolerance of zero, which no eigenvalue is below."""
        largest, theta = float(state.space.values[0]), float(state.space.values[-self._bottom])
        rounding = 4 * torch.finfo(state.space.V.rows.dtype).eps * largest
        return theta + rounding <= self.tol * largest and (self.bottom_rtol is None or theta <= rounding)

    def _bottom_tolerance(self, state: KrylovImage, theta: float) -> float:
        absolute = self.tol * float(state.space.values[0])
        return absolute if self.bottom_rtol is None else min(absolute, self.bottom_rtol * max(theta, 0.0))


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
