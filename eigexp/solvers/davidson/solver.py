"""Generalised Davidson: one space for both ends of F v = rho M v, grown by residuals, without a matrix, its inverse or a preconditioner.

    search: the residuals F v - theta M v of the first pair of each end that has not converged join the space (Davidson 1975; Morgan 2000)
    check:  all have converged: what is left of a random start (`check`) joins it, until no ratio beyond those found is possible
    finished

A step is one request: one or two directions, each a product with F and one with M. For a `PairOperator` F is that of the first model and
M = F_B + floor I; for every other operator M is the identity, and the space is that of a Lanczos process. A full space restarts from its
extreme Ritz vectors and the previous ones (Stathopoulos and Saad 1998).
"""

import sys
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eigexp.linalg.basis import rows_at_most
from eigexp.linalg.gaussian import gaussian_rows, weight_at_risk
from eigexp.linalg.orthonormal import norm
from eigexp.operators.base import Operator
from eigexp.operators.pair import PairOperator
from eigexp.pairs import Evidence, RitzPairs
from eigexp.solvers.base import Answer, ImageState, ProductKind, Progress, Request, changed
from eigexp.solvers.both_ends import BothEnds, Wanted
from eigexp.solvers.davidson.check import Beyond
from eigexp.solvers.davidson.image_state import DavidsonImage
from eigexp.solvers.davidson.space import Array, PencilSpace
from eigexp.solvers.settings import check_positive

_SMALLEST_BASIS = 40  # vectors; a smaller space restarts too often to be of use
_PATIENCE = 3  # steps of search and check together, in those of the search, after which the check is given up


@dataclass(frozen=True)
class Davidson(BothEnds):
    """Computes extremal ratios of two models by products with both, at both ends at once.

    Attributes:
        max_steps: maximum number of steps of one image, of one or two directions.
        max_basis: number of vectors at which the space restarts; with their products they take twice as many.
        verify: check that no ratio beyond those found was missed; the evidence is "converged" with False, or where that takes too long.
    """

    name: ClassVar[str] = "davidson"
    image_state: ClassVar[type[ImageState]] = DavidsonImage

    max_steps: int = 5000
    max_basis: int = 300
    verify: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(max_basis=self.max_basis)

    def vectors(self, n: int) -> int:
        """Return the vectors of the space with their products, and those that a growing or a restarting one copies."""
        # A restart keeps vectors and both of their products; later ones add two rows each, because they lie in the span of products.
        kept = 3 * (sum(self._kept) + 2 * self._solutions + self.num_top + self.num_bottom) + 2 * (1 + self.num_top + self.num_bottom)
        storage, copied = rows_at_most(min(kept + 2 * min(self._limit, 2 * self.max_steps), n))
        return storage + max(copied, 2 * min(kept, n))

    def memory_hint(self, vectors: int) -> str:
        """Return the hint with the largest `max_basis` that fits."""
        for size in range(self.max_basis - 1, _SMALLEST_BASIS - 1, -1):
            if replace(self, max_basis=size).vectors(sys.maxsize) <= vectors:
                return f"Set solver.max_basis={size}, which may take more products."
        return super().memory_hint(vectors)

    def product(self, A: Operator, kind: ProductKind, block: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return F v, and below it M v."""
        return None, torch.cat(A.both(block) if isinstance(A, PairOperator) else (A.fisher(block), block), dim=1)

    def start(self, A: Operator, image: int, rng: Tensor) -> DavidsonImage:
        """Return a random direction, and nothing known."""
        self.check(A)
        n = A.shape.n
        draw, rng = gaussian_rows(1, n, rng, torch.empty(0, n, dtype=A.dtype, device=A.device))
        space = PencilSpace.begin(draw[0] / norm(draw[0]))
        none = np.empty(0, np.int64)
        return DavidsonImage(
            request=Request("fisher", space.directions),
            phase="search",
            searched=0,
            space=space,
            eigenindex=none,
            positions=none,
            residuals=np.empty(0),
            locked_values=np.empty(0),
            previous=np.empty((0, 0)),
            top_checked=False,
            bottom_checked=False,
            top_point=0,
            bottom_point=0,
            n=n,
            least=A.floor if isinstance(A, PairOperator) else 1.0,
            rng=rng,
        )

    def advance(self, A: Operator, image: int, state: DavidsonImage, answer: Answer) -> DavidsonImage:
        """Take the products in, do Rayleigh-Ritz, and ask for the next directions, or finish."""
        assert state.request is not None and answer.back is not None
        previous = state.space.vectors[state.positions]
        space = state.space.expand(*answer.back.chunk(2))
        index, positions = self._sought(state.n).held(len(space))
        spent = len(state.request.block) * (2 if isinstance(A, PairOperator) else 1)
        state = changed(
            state,
            space=space,
            eigenindex=index,
            positions=positions,
            residuals=np.array([np.linalg.norm(space.residual(i)) for i in positions.tolist()]) / state.least**0.5,
            previous=np.pad(previous, ((0, 0), (0, len(space) - previous.shape[1]))),
            steps=state.steps + 1,
            fisher_vector_products=state.fisher_vector_products + spent,
        )
        return self._decide(state, self._sought(state.n), A.dtype)

    def image_pairs(self, state: DavidsonImage) -> RitzPairs:
        """Return the wanted pairs that the space holds."""
        asked = self._asked(state)
        vectors = state.space.combine(state.space.vectors[state.positions[asked]])
        top, bottom = self._evidence(state)
        coupling = [float(np.linalg.norm(part)) for part in self._by_end(state, state.residuals)]
        return RitzPairs(
            torch.tensor(state.eigenindex[asked]),
            torch.tensor(state.values[asked]),
            vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True),
            top,
            bottom,
            top_margin=self._allowed(state, 1) + (coupling[0] if self.num_top > 1 else 0.0),
            bottom_margin=self._allowed(state, -1) + (coupling[1] if self.num_bottom > 1 else 0.0),
        )

    def image_progress(self, state: DavidsonImage) -> Progress:
        """Return the progress in plain numbers; nothing is known before the space holds every wanted pair."""
        asked = self._asked(state) if self._complete(state) else slice(0)
        pairs = (state.eigenindex[asked], state.values[asked], state.residuals[asked])
        return Progress.of(state, state.phase, pairs, state.largest, self.tol)

    # ------------------------------------------------------------------ deciding

    def _decide(self, state: DavidsonImage, sought: Wanted, dtype: torch.dtype) -> DavidsonImage:
        """Return the state with its next request, or finished."""
        if len(state.space) >= state.n:  # the space is the whole of the coordinates: its Ritz pairs are the eigenpairs
            return self._finished(changed(state, top_checked=True, bottom_checked=True), dtype)
        if state.steps >= self.max_steps:
            return self._finished(state, dtype)
        candidates, following = self._candidates(state, dtype)
        if candidates and len(following.space) + len(candidates) > self._limit:
            following = self._restarted(following)
            candidates, following = self._candidates(following, dtype)
        space = following.space.along(candidates)
        if not len(space.pending) and not self._complete(state):  # F and M map the space into itself: only chance leads out of it
            following, space = _by_chance(following)
        if not len(space.pending):
            return self._finished(following, dtype)
        return changed(following, space=space, request=Request("fisher", space.directions))

    def _candidates(self, state: DavidsonImage, dtype: torch.dtype) -> tuple[list[Array], DavidsonImage]:
        """Return directions that may join the space, none where nothing is left to do, and the state with its phase."""
        open = np.flatnonzero(~self._met(state, dtype))
        if not self._complete(state):
            open = np.arange(len(state.positions))
        if len(open):
            space = state.space
            tops = open[state.eigenindex[open] < self._sought(state.n).top]
            chosen = [*tops[:1], *open[len(tops) :][:1]]
            return [space.residual(int(state.positions[i])) for i in chosen], changed(state, phase="search", searched=state.steps)
        if not self.verify or state.steps > _PATIENCE * state.searched + self._limit:
            return [], state
        state = changed(state, phase="check")
        if max(self.num_top, self.num_bottom) > 1 and self._has_moved(state):
            return _another_start(state)
        return self._unchecked(state)

    def _unchecked(self, state: DavidsonImage) -> tuple[list[Array], DavidsonImage]:
        """Return what is left of a random start at each end, and the state with the ends marked at which it rules everything out."""
        left: list[Array] = []
        at_risk = weight_at_risk(state.n)
        for sign, end, asked in self._unruled(state):
            remainder, point = self._beyond(state, sign, asked).remainder(at_risk, getattr(state, f"{end}_point"))
            state = changed(state, **{f"{end}_checked": remainder is None, f"{end}_point": point})
            left += [] if remainder is None else [remainder]
        return left, state

    def _unruled(self, state: DavidsonImage) -> list[tuple[int, str, int]]:
        """Return sign, name and number of pairs of the ends beyond which ratios are still possible."""
        ends = ((1, "top", self.num_top), (-1, "bottom", self.num_bottom))
        return [
            (sign, end, asked)
            for sign, end, asked in ends
            if asked and not getattr(state, f"{end}_checked") and not (sign < 0 and self._proven(state))
        ]

    def _beyond(self, state: DavidsonImage, sign: int, asked: int) -> Beyond:
        """Return what is to be ruled out at an end."""
        theta = float(state.values[self._sought(state.n).top - 1 if sign > 0 else -asked])
        found = self._by_end(state, state.space.locked)[0 if sign > 0 else 1] if asked > 1 else state.space.locked[:0]
        return Beyond(state.space, sign, theta, self._allowed(state, sign), 1 if asked > 1 else 0, found)

    def _restarted(self, state: DavidsonImage) -> DavidsonImage:
        """Return the state with the space of its extreme Ritz vectors and the previous ones, and of the solutions of a check."""
        top, bottom = self._kept
        extreme = [*range(top), *range(len(state.space) - bottom, len(state.space))]
        kept = [state.space.vectors[extreme], state.previous]
        if state.phase == "check":
            kept += [self._beyond(state, sign, asked).solutions(self._solutions) for sign, _, asked in self._unruled(state)]
        return changed(state, space=state.space.restarted(np.concatenate(kept)))

    def _finished(self, state: DavidsonImage, dtype: torch.dtype) -> DavidsonImage:
        met = self._complete(state) and bool(self._met(state, dtype).all())
        return changed(state, request=None, phase="finished", status="converged" if met else "budget")

    def _evidence(self, state: DavidsonImage) -> tuple[Evidence | None, Evidence | None]:
        converged = state.status == "converged"
        ends = ((self.num_top, state.top_checked, False), (self.num_bottom, state.bottom_checked, self._proven(state)))
        found: list[Evidence | None] = [
            None if not asked else "budget" if not converged else "proven" if proven else "krylov" if checked else "converged"
            for asked, checked, proven in ends
        ]
        return found[0], found[1]

    # ------------------------------------------------------------------ quantities

    @property
    def _kept(self) -> tuple[int, int]:
        """Return how many Ritz vectors a restart keeps at either end."""
        return max(self.num_top + 5, self.max_basis // 8), max(self.num_bottom + 5, self.max_basis // 8)

    @property
    def _limit(self) -> int:
        return max(self.max_basis, 2 * sum(self._kept) + 4 * (self.num_top + self.num_bottom))

    @property
    def _solutions(self) -> int:
        """Return how many solutions of the check a restart keeps at either end."""
        return self._limit // 12

    def _sought(self, n: int) -> Wanted:
        """Return the pairs sought: those asked for, and the largest in any case, the scale of every tolerance."""
        return Wanted(n, max(1, self.num_top), self.num_bottom)

    def _asked(self, state: DavidsonImage) -> slice:
        return slice(0 if self.num_top or state.n <= self.num_bottom else 1, None)

    def _complete(self, state: DavidsonImage) -> bool:
        return len(state.eigenindex) == len(self._sought(state.n).eigenindex)

    def _met(self, state: DavidsonImage, dtype: torch.dtype) -> NDArray[np.bool_]:
        bottom = state.eigenindex >= self._sought(state.n).top
        return self.met(state.values, state.residuals, bottom, state.largest, dtype)

    def _allowed(self, state: DavidsonImage, sign: int) -> float:
        """Return the error allowed of the values of an end."""
        allowed = self.tol * state.largest
        if sign > 0 or self.bottom_rtol is None or not len(state.positions):
            return allowed
        return min(allowed, self.bottom_rtol * max(float(state.values[-1]), 0.0))

    def _proven(self, state: DavidsonImage) -> bool:
        """Return whether 0 <= rho <= theta settles the smallest values: F is positive semidefinite."""
        if not (self.num_bottom and self._complete(state)) or self.bottom_rtol is not None:
            return False
        return float(state.values[-self.num_bottom]) <= self.tol * state.largest

    def _has_moved(self, state: DavidsonImage) -> bool:
        """Return whether the pairs are not those that are locked: none are, or one that was missed has turned up since."""
        if len(state.locked_values) != len(state.values):
            return True
        return bool((np.abs(state.values - state.locked_values) > self._allowed(state, -1)).any())

    def _by_end(self, state: DavidsonImage, rows: Any) -> tuple[Any, Any]:
        """Return the parts of rows (k, ...) of sought pairs that belong to the largest and to the smallest."""
        tops = int((state.eigenindex < self._sought(state.n).top).sum())
        return rows[:tops], rows[tops:]


def _another_start(state: DavidsonImage) -> tuple[list[Array], DavidsonImage]:
    """Return what is new in a random vector, and the state with it as a further start, and the pairs found as locked."""
    draw, rng = gaussian_rows(1, state.n, state.rng, state.space.U.rows)
    space, w = state.space.reaching(draw[0] / norm(draw[0]))
    space = space.with_start(w, space.vectors[state.positions])
    return [w], changed(state, space=space, rng=rng, locked_values=state.values, top_checked=False, bottom_checked=False)


def _by_chance(state: DavidsonImage) -> tuple[DavidsonImage, PencilSpace]:
    """Return the state after it has drawn a random vector, and its space that waits for the products with what is new in it."""
    draw, rng = gaussian_rows(1, state.n, state.rng, state.space.U.rows)
    space, coordinates = state.space.reaching(draw[0] / norm(draw[0]))
    return changed(state, rng=rng), space.along([coordinates])
