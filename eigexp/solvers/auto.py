"""The solver that suits the problem: the explicit Jacobian where it is cheaper, a sparse one where it helps, otherwise a Krylov space."""

import logging
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from eigexp.errors import MemoryLimitError
from eigexp.operators.base import Operator, OperatorShape
from eigexp.pairs import RitzPairs
from eigexp.solvers.base import Answer, ImageState, ProductKind, Progress, Solver
from eigexp.solvers.exact import Exact, ExactImage, decomposed_side, decomposes
from eigexp.solvers.krylov import Krylov
from eigexp.solvers.krylov.image_state import KrylovImage
from eigexp.solvers.sparse import NotSparseError, Sparse
from eigexp.solvers.sparse.image_state import SparseImage

log = logging.getLogger(__name__)

_ROWS_PER_PAIR = 80  # rows of the Jacobian, with its decomposition, for the products of one pair at each end
_ROWS_PER_PAIR_WIDE = 400  # the same where the decomposition is that of J J^T, m x m
_ROWS_RELATIVE = 1500  # rows, for the products of a bottom that is accurate relative to itself


@dataclass(frozen=True)
class Auto(Solver):
    """Chooses `Exact`, `Sparse` or `Krylov`, and passes its settings on.

    `Exact` where min(m, n) <= 80 k, or <= 400 k where m + k <= n, or <= 1500 with `bottom_rtol`; as long as the matrix to decompose has a
    side of at most 4096, and the Jacobian at most 10^8 entries. Otherwise, with `bottom_rtol` and products in float64, `Sparse` if each
    response depends on few enough pixels. Otherwise `Krylov`. The choice depends only on sizes and windows, never on a timing or on free
    memory: the same task is the same computation on every machine. Only a Krylov space that has not finished after min(m, n) products
    is replaced by `Exact`, within the limits of its matrix, where there is memory for it, and continues where there is none.

    Attributes:
        k: number of eigenpairs at each end.
        tol: residual norm to reach, relative to the largest eigenvalue.
        bottom_rtol: residual norm to reach at the smallest eigenvalues, relative to each of them; None for no such condition.
        max_steps: products that a single image may take in a Krylov space.
    """

    name: ClassVar[str] = "auto"
    image_state: ClassVar[type[ImageState]] = ImageState

    k: int = 1
    tol: float = 1e-4
    bottom_rtol: float | None = None
    max_steps: int = 1000

    def __post_init__(self) -> None:
        for make in (self._exact, self._sparse, self._krylov):
            make()  # their checks are this one's

    def check_memory(self, A: Operator) -> None:
        """Refuse what the solver chosen refuses."""
        self.choice(A.shape, A.dtype).check_memory(A)

    def steps_allowed(self, shape: OperatorShape, dtype: torch.dtype) -> int | None:
        """Return what the solver chosen returns, and the steps of the Jacobian that may follow a Krylov space."""
        chosen = self.choice(shape, dtype)
        allowed = chosen.steps_allowed(shape, dtype)
        follows = isinstance(chosen, Krylov) and self._decomposes(shape)
        return allowed + self._exact().steps_allowed(shape, dtype) if follows and allowed is not None else allowed

    def start(self, A: Operator, image: int, rng: Tensor) -> ImageState:
        """Return the first state of the solver chosen; the log says which, and why."""
        solver = self.choice(A.shape, A.dtype)
        if image == 0:
            log.info(
                "solver=auto: %s for m=%d responses and n=%d coordinates (%s)", solver.name, A.shape.m, A.shape.n, self._reason(A.shape)
            )
        return solver.start(A, image, rng)

    def advance(self, A: Operator, image: int, state: Any, answer: Answer) -> ImageState:
        """Advance as the solver whose state it is; where the Jacobian turns out not to be sparse, a Krylov space begins."""
        try:
            state = self._of(state).advance(A, image, state, answer)
            return self._exact_after_all(A, image, state) if self._is_too_long(A.shape, state) else state
        except NotSparseError as error:
            log.info("solver=auto: krylov, because %s", error.why)
            assert state.request is not None
            self._krylov().check_memory(A)
            # What the sparse attempt has cost is counted, this last request included: half a Fisher-vector product per vector.
            spent = state.fisher_vector_products + len(state.request.block) / 2
            return replace(self._krylov().start(A, image, state.rng), steps=state.steps + 1, fisher_vector_products=spent)

    def _is_too_long(self, shape: OperatorShape, state: Any) -> bool:
        """Return whether a Krylov space, with a sparse attempt before it, has cost twice the Jacobian (half a product a row) unfinished."""
        unfinished = isinstance(state, KrylovImage) and not state.done
        return unfinished and state.fisher_vector_products >= min(shape.m, shape.n) and self._decomposes(shape)

    def _exact_after_all(self, A: Operator, image: int, state: KrylovImage) -> ImageState:
        """Return the first state of the exact solver; where the Jacobian does not fit into memory, the Krylov space as it is."""
        spent, rows = state.fisher_vector_products, min(A.shape.m, A.shape.n)
        try:
            self._exact().check_memory(A)
        except MemoryLimitError as error:
            _tell(str(error))
            return state
        log.info("solver=auto: exact after %g products, since the whole Jacobian has %d rows", spent, rows)
        return replace(self._exact().start(A, image, state.rng), steps=state.steps, fisher_vector_products=spent)

    def check_product(self, state: Any, kind: ProductKind, product: Tensor) -> None:
        """Check the product as the solver whose state it is."""
        self._of(state).check_product(state, kind, product)

    def image_pairs(self, state: Any) -> RitzPairs:
        """Return what the solver whose state it is returns."""
        return self._of(state).image_pairs(state)

    def image_progress(self, state: Any) -> Progress:
        """Return what the solver whose state it is returns."""
        return self._of(state).image_progress(state)

    def load_image(self, flat: dict[str, Any]) -> ImageState:
        """Return one image's state; only the exact solver's has a Jacobian, and only the sparse solver's a compressed one."""
        return (ExactImage if "jacobian" in flat else SparseImage if "compressed" in flat else KrylovImage).from_dict(flat)

    def choice(self, shape: OperatorShape, dtype: torch.dtype) -> Solver:
        """Return the solver to begin with, for an operator of this shape and precision."""
        if min(shape.m, shape.n) <= self._limit(shape) and self._decomposes(shape):
            return self._exact()
        return self._sparse() if self.bottom_rtol is not None and dtype == torch.float64 else self._krylov()

    def _decomposes(self, shape: OperatorShape) -> bool:
        """Return whether the Jacobian has a size that the exact solver decomposes in seconds."""
        return decomposes(shape, self.k)

    def _limit(self, shape: OperatorShape) -> int:
        """Return the number of rows of the Jacobian that pay."""
        # A side less than n means that only J J^T is decomposed, which is cheaper: more rows pay.
        per_pair = _ROWS_PER_PAIR_WIDE if decomposed_side(shape, self.k) < shape.n else _ROWS_PER_PAIR
        return max(per_pair * self.k, _ROWS_RELATIVE if self.bottom_rtol is not None else 0)

    def _reason(self, shape: OperatorShape) -> str:
        rows, limit = min(shape.m, shape.n), self._limit(shape)
        if rows > limit:
            return f"min(m, n)={rows} rows of the Jacobian, more than the limit of {limit}"
        if not self._decomposes(shape):
            return f"a Jacobian of {shape.m} x {shape.n} is too large to decompose"
        return f"min(m, n)={rows} rows of the Jacobian, at most the limit of {limit}"

    def _exact(self) -> Exact:
        return Exact(k=self.k, tol=self.tol)

    def _krylov(self) -> Krylov:
        return Krylov(k=self.k, tol=self.tol, bottom_rtol=self.bottom_rtol, max_steps=self.max_steps)

    def _sparse(self) -> Sparse:
        return Sparse(k=self.k, tol=self.tol, bottom_rtol=self.bottom_rtol)

    def _of(self, state: Any) -> Solver:
        return self._exact() if isinstance(state, ExactImage) else self._sparse() if isinstance(state, SparseImage) else self._krylov()


@cache
def _tell(why: str) -> None:
    """Log once why a Krylov space continues."""
    log.info("solver=auto: krylov continues, because the Jacobian does not fit: %s", why)
