"""What the Krylov solver keeps of one image."""

from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from eigexp.pairs import Evidence
from eigexp.solvers.base import ImageState
from eigexp.solvers.krylov_space import KrylovSpace


@dataclass(frozen=True)
class KrylovImage(ImageState):
    """One image's state.

    Attributes:
        phase: krylov | guess | multiplicity | verify | finished.
        space: the space that both ends come from.
        check: the space that verifies the bottom, orthogonal to `found`.
        found: the bottom vectors under verification (k, n).
        queue: kept guesses (q, n) not yet expanded, best first.
        quotients: their Rayleigh quotients (q,), float64.
        rounds: rounds of guesses tried.
        guessed_at: the step after which the last round was sifted.
        guess_kept: a guess is in the space, so that its bottom no longer rests on a random start alone.
        fresh: steps left of the check for repeated eigenvalues.
        reference: wanted top values when that check began.
        distinct: it has ended, and found nothing.
        eigenindex: ranks of the wanted pairs that the space holds (k,).
        coefficients: of their vectors in the space (k, d), float64.
        values: their Rayleigh quotients (k,), float64.
        residuals: their residual norms (k,), float64; NaN before they are all there.
        n: coordinates of a vector.
        restarts: of the space.
        evidence_top, evidence_bottom: what the solver can say of an end, once it has finished.
        null_fraction: estimated share of the null space.
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
    guessed_at: int
    guess_kept: bool
    fresh: int
    reference: Tensor
    distinct: bool
    eigenindex: Tensor
    coefficients: Tensor
    values: Tensor
    residuals: Tensor
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
            values[name] = KrylovSpace.from_dict({key: values.pop(f"{name}.{key}") for key in ("V", "G", "H", "gram")})
        return super().from_dict(values)
