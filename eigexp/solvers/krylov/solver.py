"""Both ends of the spectrum from one Krylov space, and a second one that checks what the first has missed.

    krylov ------------------> structured --+   the phases of one image; a step is one product
      ^ ^  lambda_1 settled                 |
      | +-----------------------------------+   patterns that improve the current smallest values join the space
      |
      +---- probe                               8 or 16 gradients, once, if a preconditioner is requested
      |
      | all pairs converged, an end unproven
      +------------------> check                a second space, orthogonal to the pairs found
      |                      |
      +----------------------+                  what it has found joins the space, and the search continues
      |
      +------------------> finished             converged and checked, or max_steps taken

The first space grows by the residual of the first sought pair that has not converged, largest before smallest; from one random start, with
no structured vectors and no restarts, that spans the Lanczos space (Golub and Kahan 1965; Parlett 1998, chapter 13). Structured vectors
are tried once lambda_1 has settled (`initial_vectors`). One start vector gives only one vector of each eigenspace, so what was found is
checked by a second space (`complement`, `checking`). `growing` takes products in, `deciding` requests them.
"""

import logging
import sys
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from eigexp.linalg.basis import rows_at_most
from eigexp.linalg.orthonormal import random_orthogonal
from eigexp.operators.base import Operator
from eigexp.pairs import RitzPairs
from eigexp.solvers.base import Answer, ImageState, ProductKind, Progress
from eigexp.solvers.exact import decomposes
from eigexp.solvers.krylov.deciding import decide
from eigexp.solvers.krylov.growing import take_answer
from eigexp.solvers.krylov.image_state import KrylovImage
from eigexp.solvers.krylov.initial_vectors import ROUNDS
from eigexp.solvers.krylov.preconditioners import check_preconditioner
from eigexp.solvers.krylov.settings import KrylovSettings

log = logging.getLogger(__name__)

_SMALLEST_BASIS = 40  # vectors; a smaller space restarts too often to be of use


@dataclass(frozen=True)
class Krylov(KrylovSettings):
    """Computes extremal pairs of both ends from one Krylov space; a step is one product per image.

    The settings are those of `KrylovSettings`.
    """

    name: ClassVar[str] = "krylov"
    image_state: ClassVar[type[ImageState]] = KrylovImage

    def vectors(self, n: int) -> int:
        """Return the vectors of the space, and of the one that checks it."""
        size = min(self.limit, self.max_steps, n)
        storage, copied = rows_at_most(size)
        # With a preconditioner a step adds a row to R: there are two copies of it at once, beside one of the whole basis with R.
        beside = 4 * size if self.preconditioner else 0
        return (2 if self.may_check else 1) * storage + copied + beside

    def memory_hint(self, vectors: int) -> str:
        """Return the hint with the largest `max_basis` that fits, if it is of any use."""
        for size in range(self.max_basis - 1, _SMALLEST_BASIS - 1, -1):
            if replace(self, max_basis=size).vectors(sys.maxsize) <= vectors:
                return f"Set solver.max_basis={size}, which may take more products, or a smaller images.batch_size."
        return super().memory_hint(vectors)

    def start(self, A: Operator, image: int, rng: Tensor) -> KrylovImage:
        """Return a random direction, and nothing known."""
        n = A.shape.n
        self.check(A)
        if self.preconditioner:
            check_preconditioner(self.preconditioner, A)
        direction, rng = random_orthogonal(torch.empty(0, n, dtype=A.dtype, device=A.device), n, rng)
        # Patterns serve the smallest end alone: the largest converges without help.
        rounds = 0 if self.structured_vectors and self.num_bottom else ROUNDS
        return KrylovImage.begin(direction, num_sought=len(self.sought(n).eigenindex), rounds=rounds, rng=rng)

    def check_product(self, state: KrylovImage, kind: ProductKind, product: Tensor) -> None:
        """Refuse a product that is not finite; of F v a space sees that in the numbers that it reads anyway."""
        if kind != "fisher":
            super().check_product(state, kind, product)

    def advance(self, A: Operator, image: int, state: KrylovImage, answer: Answer) -> KrylovImage:
        """Take the product into the space at hand, then decide on the next."""
        state = decide(self, A, image, take_answer(self, A, state, answer))
        rows = min(A.shape.m, A.shape.n)
        if state.done and state.fisher_vector_products > rows / 2 and decomposes(A.shape, max(self.num_top, self.num_bottom)):
            _tell_of_exact(rows, state.fisher_vector_products)
        return state

    def image_pairs(self, state: KrylovImage) -> RitzPairs:
        """Return the wanted pairs that the space holds."""
        asked = self._asked(state)
        return RitzPairs(
            torch.tensor(state.eigenindex[asked]),  # copies: ranks are cached, and all images and solves share them
            torch.tensor(state.values[asked]),
            state.space.combine(state.coefficients[asked]),
            state.evidence_top,
            state.evidence_bottom,
            state.null_fraction,
            bottom_margin=state.bottom_margin,
            top_margin=state.top_margin,
            next_top=state.next_top if state.done else None,
            next_bottom=state.next_bottom if state.done else None,
        )

    def image_progress(self, state: KrylovImage) -> Progress:
        """Return the progress in plain numbers; nothing is known before the space holds every wanted pair."""
        complete = len(state.eigenindex) == len(state.residuals)
        asked = self._asked(state) if complete else slice(0)
        pairs = (state.eigenindex[asked], state.values[asked], state.residuals[asked])
        return Progress.of(state, state.phase, pairs, state.largest, self.tol)

    def _asked(self, state: KrylovImage) -> slice:
        """Return the positions of the pairs asked for: all that are sought, but for a lambda_1 that is sought as the scale alone."""
        as_scale = not self.num_top and state.n > self.num_bottom
        return slice(1 if as_scale else 0, None)


@cache
def _tell_of_exact(rows: int, products: float) -> None:
    """Log, once for the same, that the Jacobian would have cost less."""
    log.info(
        "a Krylov space took %g products, where the Jacobian's %d rows cost %g: solver=exact is cheaper here", products, rows, rows / 2
    )
