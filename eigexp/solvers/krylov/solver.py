"""Both ends of the spectrum from one Krylov space, with guesses, a check for repeated eigenvalues and a verification of the bottom.

The space grows by the residual of the first wanted pair that has not converged, top before bottom; from one random start, without guesses
and restarts, that spans the Lanczos space (Golub and Kahan 1965; Parlett 1998, chapter 13). Structural guesses of the bottom are tried once
the top has converged, and kept only where they beat the bottom at hand. What was found is then doubted: a fresh random vector looks for
repeated eigenvalues at the top, and, where the bottom is not proven and a guess was used, a Krylov space of its own looks below it.
"""

import sys
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from eigexp.errors import ConfigurationError
from eigexp.linalg.basis import rows_at_most
from eigexp.linalg.gaussian import gaussian_rows
from eigexp.linalg.orthonormal import norm, random_orthogonal
from eigexp.operators.base import Operator
from eigexp.pairs import Evidence, RitzPairs
from eigexp.solvers.base import Answer, ImageState, Progress, Request
from eigexp.solvers.both_ends import BothEnds
from eigexp.solvers.krylov.bottom_check import BottomCheck
from eigexp.solvers.krylov.extraction import ritz_pairs, shrunk_pairs
from eigexp.solvers.krylov.image_state import KrylovImage
from eigexp.solvers.krylov.initial_vectors import ROUNDS, structural_guesses
from eigexp.solvers.krylov.preconditioners import PRECONDITIONERS, build_preconditioner, check_preconditioner, precondition
from eigexp.solvers.krylov.space import KrylovSpace
from eigexp.solvers.settings import check_positive

_SMALL_BASIS = 40  # below it a space restarts too often to be of use
_PATIENCE = 12  # steps that the bottom is given after the first guesses before the next are tried, its value being proven


@dataclass(frozen=True)
class Krylov(BothEnds):
    """Certified extremal pairs of both ends from one Krylov space; a step is one product of an image.

    Attributes:
        max_basis: size of the space at which it restarts with the best Ritz vectors.
        guesses: try structural guesses of the bottom.
        preconditioner: "pf" or "pb" steers the search for the bottom by an estimate of F's inverse (see `preconditioners`); None does not.
        check_multiplicity: steps with a fresh random vector that look for repeated eigenvalues at the top; 0 skips, and claims no
            evidence.
        verify: verify a bottom that a guess or a preconditioner helped to find and that is not proven.
    """

    name: ClassVar[str] = "krylov"
    image_state: ClassVar[type[ImageState]] = KrylovImage

    max_basis: int = 300
    guesses: bool = True
    preconditioner: Literal["pf", "pb"] | None = None
    check_multiplicity: int = 10
    verify: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(max_basis=self.max_basis)
        if self.check_multiplicity < 0:
            raise ConfigurationError(f"solver.check_multiplicity={self.check_multiplicity} must not be negative. 0 skips the check.")
        if self.preconditioner not in (None, *PRECONDITIONERS):
            raise ConfigurationError(f"solver.preconditioner={self.preconditioner} is not one. Choose pf, pb or null.")

    @property
    def _limit(self) -> int:
        """Size at which a space restarts: never so small that a restart leaves no room to grow."""
        return max(self.max_basis, 2 * (self.num_top + 3 + self.num_bottom + 8))

    def vectors(self, n: int) -> int:
        """V and G of the space, and of the one that verifies the bottom."""
        storage, copied = rows_at_most(min(self._limit, self.max_steps, n))
        doubted = self.verify and self.num_bottom and (self.guesses or self.preconditioner)
        return (4 if doubted else 2) * storage + copied

    def memory_cure(self, vectors: int) -> str:
        """The largest `max_basis` that fits, if it is of any use."""
        for size in range(self.max_basis - 1, _SMALL_BASIS - 1, -1):
            if replace(self, max_basis=size).vectors(sys.maxsize) <= vectors:
                return f"Set solver.max_basis={size}, which may take more products, or a smaller images.batch_size."
        return super().memory_cure(vectors)

    def start(self, A: Operator, image: int, rng: Tensor) -> KrylovImage:
        """A random direction, and nothing known."""
        n = A.shape.n
        self.check(A)
        if self.preconditioner:
            check_preconditioner(self.preconditioner, A)
        direction, rng = random_orthogonal(torch.empty(0, n, dtype=A.dtype, device=A.device), n, rng)
        return KrylovImage.begin(
            direction,
            num_wanted=len(self.wanted(n).eigenindex),
            rounds=0 if self.guesses and self.num_bottom else ROUNDS,
            distinct=not (self.check_multiplicity and self.num_top),
            rng=rng,
        )

    def advance(self, A: Operator, image: int, state: KrylovImage, answer: Answer) -> KrylovImage:
        """Take the product into the space at hand, then decide on the next."""
        assert state.request is not None
        cost = 1.0 if state.request.kind == "fisher" else len(state.request.block) / 2
        state = replace(state, steps=state.steps + 1, fisher_vector_products=state.fisher_vector_products + cost)
        if state.phase == "guess":
            state = self._sift_guesses(state, answer)
        elif state.phase == "probe":
            state = self._take_probe(A, state, answer)
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
        pairs = (state.eigenindex, state.values, state.residuals)
        if len(state.eigenindex) < len(state.residuals):
            pairs = (state.eigenindex[:0], state.values[:0], state.residuals[:0])
        return Progress.of(state, state.phase, pairs, state.largest, self.tol)

    # ------------------------------------------------------------------ growing

    def _grow(self, state: KrylovImage, answer: Answer) -> KrylovImage:
        space = state.space.expand(*_product(state, answer))
        if len(space) < self._limit or len(space) >= state.n:
            return replace(state, space=space)
        return replace(state, space=self._restarted(space), restarts=state.restarts + 1)

    def _grow_check(self, state: KrylovImage, answer: Answer) -> KrylovImage:
        assert state.check is not None
        check = state.check.expand(*_product(state, answer))
        return replace(state, check=check if len(check.space) < self._limit else replace(check, space=self._restarted(check.space)))

    def _restarted(self, space: KrylovSpace) -> KrylovSpace:
        return space.restarted(self.num_top + 3, self.num_bottom + 8)

    def _sift_guesses(self, state: KrylovImage, answer: Answer) -> KrylovImage:
        """Combinations of the guesses by their Rayleigh quotients, best first."""
        assert state.request is not None and answer.forward is not None
        gram = (answer.forward.double() @ answer.forward.double().T).cpu()
        quotients, columns = torch.linalg.eigh(gram)
        queue = columns.T.to(state.queue) @ state.request.block
        return replace(state, queue=queue, quotients=quotients, rounds=state.rounds + 1, guessed_at=state.steps, phase="krylov")

    def _take_probe(self, A: Operator, state: KrylovImage, answer: Answer) -> KrylovImage:
        """Keep a gradient; the last of them makes the preconditioner."""
        assert self.preconditioner and answer.back is not None
        probes = torch.cat([state.probes, answer.back])
        if len(probes) < PRECONDITIONERS[self.preconditioner].num_probes:
            return replace(state, probes=probes)
        made = build_preconditioner(self.preconditioner, A, probes, state.largest)
        return replace(state, probes=probes[:0].clone(), preconditioner=made, phase="krylov")

    def _measure(self, state: KrylovImage) -> tuple[KrylovImage, Tensor | None]:
        """The wanted pairs into the state, and their residual vectors (k, n); None before the space holds them all."""
        wanted = self.wanted(state.n)
        pairs = ritz_pairs(state.space, wanted)
        state = replace(state, eigenindex=pairs.eigenindex, coefficients=pairs.coefficients, values=pairs.values)
        if len(pairs.eigenindex) < len(wanted.eigenindex):
            return state, None
        residuals = state.space.residuals(pairs.coefficients, pairs.values)
        state = replace(state, residuals=_norms(residuals))
        if self.num_bottom and self._value_proven(state) and not bool(self._converged(state)[self.num_top :].all()):
            state, residuals = self._measure_shrunk(state, residuals)
        return state, residuals

    def _measure_shrunk(self, state: KrylovImage, residuals: Tensor) -> tuple[KrylovImage, Tensor]:
        """Take the bottom that F shrinks most, if it shrinks it below the tolerance."""
        state = replace(state, space=state.space.with_gram())
        pairs, size = shrunk_pairs(state.space, self.wanted(state.n))
        if self.bottom_rtol is not None or size > self.tol * state.largest:
            return state, residuals
        residuals = state.space.residuals(pairs.coefficients, pairs.values)
        return replace(state, coefficients=pairs.coefficients, values=pairs.values, residuals=_norms(residuals)), residuals

    # ------------------------------------------------------------------ deciding

    def _decide(self, A: Operator, image: int, state: KrylovImage, residuals: Tensor | None) -> KrylovImage:
        if len(state.space) >= state.n:
            return self._finish(replace(state, distinct=True), bottom="krylov")
        if state.steps >= self.max_steps:
            return self._finish(state, bottom=None)
        if residuals is None and state.phase != "verify":
            return self._expand(state, state.space.last_image())
        if state.phase == "verify":
            return self._judge_check(state)
        if state.phase == "probe":
            return self._probe(A, state)
        if state.phase == "multiplicity":
            if state.fresh:
                return self._expand(replace(state, fresh=state.fresh - 1), state.space.last_image())
            moved = (state.space.values[: self.num_top] - state.reference).abs() > 2 * self.tol * state.space.values[0]
            state = replace(state, phase="krylov", distinct=not bool(moved.any()))
        assert residuals is not None
        return self._continue(A, image, state, residuals)

    def _continue(self, A: Operator, image: int, state: KrylovImage, residuals: Tensor) -> KrylovImage:
        open_pairs = (~self._converged(state)).nonzero().flatten().tolist()
        top_open = bool(open_pairs) and open_pairs[0] < self.num_top
        if not top_open and len(state.queue):
            if state.quotients[0] <= state.values[-self.num_bottom]:
                guess = state.queue[0]
                state = replace(state, queue=state.queue[1:].clone(), quotients=state.quotients[1:].clone(), assisted=True)
                return self._expand(state, guess)
            state = replace(state, queue=state.queue[:0].clone(), quotients=state.quotients[:0].clone())
        if not top_open and self._guesses_due(state, bottom_open=bool(open_pairs)):
            guesses = structural_guesses(A, image, state.rounds)
            if len(guesses):
                return replace(state, phase="guess", request=Request("forward", guesses))
            state = replace(state, rounds=ROUNDS)
        if open_pairs:
            residual = residuals[open_pairs[0]]
            return self._expand(state, residual) if top_open or not self.preconditioner else self._expand_preconditioned(A, state, residual)
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
            t, rng = random_orthogonal(state.space.V.rows, state.n, rng)
        return replace(state, request=Request("fisher", t[None]), rng=rng)

    def _expand_preconditioned(self, A: Operator, state: KrylovImage, residual: Tensor) -> KrylovImage:
        """As `_expand`, in the direction to which the preconditioner turns a residual of the bottom; first comes what it is made of."""
        if state.preconditioner is None:
            return self._probe(A, replace(state, phase="probe"))
        return self._expand(replace(state, assisted=True), precondition(state.preconditioner, A, residual))

    def _probe(self, A: Operator, state: KrylovImage) -> KrylovImage:
        """Ask for the gradient of a random response."""
        u, rng = gaussian_rows(1, A.shape.m, state.rng, state.probes)
        return replace(state, request=Request("adjoint", u), rng=rng)

    def _look_for_repeated(self, state: KrylovImage) -> KrylovImage:
        """A single-vector Krylov space sees one vector of each eigenspace; a fresh random vector shows the others (solver's check)."""
        t, rng = random_orthogonal(state.space.V.rows, state.n, state.rng)
        reference = state.space.values[: self.num_top].clone()
        return replace(
            state, phase="multiplicity", fresh=self.check_multiplicity, reference=reference, request=Request("fisher", t[None]), rng=rng
        )

    def _judge_bottom(self, state: KrylovImage) -> KrylovImage:
        if not self.num_bottom:
            return self._finish(state, bottom=None)
        if self._value_proven(state):
            return self._finish(state, bottom="proven")
        if not state.assisted:
            return self._finish(state, bottom="krylov")
        if not self.verify:
            return self._finish(state, bottom="converged")
        check = BottomCheck.of(state.space.combine(state.coefficients[-self.num_bottom :]))
        t, rng = check.anywhere(state.rng)
        return replace(state, phase="verify", check=check, request=Request("fisher", t[None]), rng=rng)

    def _judge_check(self, state: KrylovImage) -> KrylovImage:
        assert state.check is not None
        theta = float(state.values[-self.num_bottom])
        verdict = state.check.judge(theta, self._bottom_tolerance(state, theta))
        if verdict.lower is not None:
            return self._expand(replace(state, phase="krylov", check=None), verdict.lower)
        if verdict.margin is not None:
            return self._finish(replace(state, margin=verdict.margin), bottom="krylov")
        t, rng = (verdict.direction, state.rng) if verdict.direction is not None else state.check.anywhere(state.rng)
        return replace(state, request=Request("fisher", t[None]), rng=rng)

    def _finish(self, state: KrylovImage, bottom: Evidence | None) -> KrylovImage:
        """No further request; the space shrinks to the wanted vectors. `bottom` is None where the budget ended the search."""
        converged = self._converged(state)
        top_met, bottom_met = bool(converged[: self.num_top].all()), bool(converged[self.num_top :].all())
        top: Evidence = "budget" if not top_met else "krylov" if state.distinct and self.check_multiplicity else "converged"
        if bottom is None:
            bottom = "converged" if bottom_met else "budget"
        null = state.space.vectors[state.space.values < 1e-6 * state.largest, 0].square().sum()
        return replace(
            state,
            request=None,
            phase="finished",
            status="converged" if top_met and bottom_met else "budget",
            space=state.space.restart(state.coefficients, state.values),
            coefficients=torch.eye(len(state.values), dtype=torch.float64),
            check=None,
            queue=state.queue[:0].clone(),
            quotients=state.quotients[:0].clone(),
            evidence_top=top if self.num_top else None,
            evidence_bottom=bottom if self.num_bottom else None,
            null_fraction=None if state.restarts else float(null),
        )

    # ------------------------------------------------------------------ conventions

    def _converged(self, state: KrylovImage) -> Tensor:
        """Which wanted pairs have met the tolerances, shape (k,); none before they are all there."""
        if len(state.values) < len(state.residuals):
            return torch.zeros(len(state.residuals), dtype=torch.bool)
        return self.met(state.values, state.residuals, state.eigenindex >= self.num_top, state.largest, state.space.V.rows.dtype)

    def _value_proven(self, state: KrylovImage) -> bool:
        """The bottom values are within the tolerance of zero, which no eigenvalue is below."""
        largest, theta = state.largest, float(state.values[-self.num_bottom])
        rounding = 4 * torch.finfo(state.space.V.rows.dtype).eps * largest
        return theta + rounding <= self.tol * largest and (self.bottom_rtol is None or theta <= rounding)

    def _bottom_tolerance(self, state: KrylovImage, theta: float) -> float:
        absolute = self.tol * state.largest
        return absolute if self.bottom_rtol is None else min(absolute, self.bottom_rtol * max(theta, 0.0))


def _norms(vectors: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float64).cpu()


def _product(state: KrylovImage, answer: Answer) -> tuple[Tensor, Tensor, float]:
    assert state.request is not None and answer.forward is not None and answer.back is not None
    return state.request.block[0], answer.back[0], norm(answer.forward[0]) ** 2
