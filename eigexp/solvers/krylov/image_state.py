"""What the Krylov solver keeps of one image."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from eigexp.pairs import Evidence
from eigexp.solvers.base import ImageState, Request
from eigexp.solvers.krylov.bottom_check import BottomCheck
from eigexp.solvers.krylov.preconditioners import PRECONDITIONERS, Preconditioner
from eigexp.solvers.krylov.space import KrylovSpace


@dataclass(frozen=True)
class KrylovImage(ImageState):
    """One image's state.

    Attributes:
        phase: krylov | guess | probe | multiplicity | verify | finished.
        space: the space that both ends come from.
        check: the verification of the bottom, while it goes on.
        queue: kept guesses (q, n) not yet expanded, best first.
        quotients: their Rayleigh quotients (q,), float64.
        rounds: rounds of guesses tried.
        guessed_at: the step after which the last round was sifted.
        probes: gradients A^T u (p, n) of random responses, until they make a preconditioner.
        preconditioner: for the bottom's residuals, once there is one.
        assisted: a guess or a preconditioner has had a hand in the space, so that its bottom no longer rests on a random start alone.
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
    check: BottomCheck | None
    queue: Tensor
    quotients: Tensor
    rounds: int
    guessed_at: int
    probes: Tensor
    preconditioner: Preconditioner | None
    assisted: bool
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

    @classmethod
    def begin(cls, direction: Tensor, *, num_wanted: int, rounds: int, distinct: bool, rng: Tensor) -> Self:
        """The state that asks for the product with a first direction (n,), and knows nothing."""
        n = len(direction)
        none = direction.new_empty(0, n)
        unknown = torch.empty(0, dtype=torch.float64)
        return cls(
            request=Request("fisher", direction[None]),
            fisher_vector_products=0.0,
            steps=0,
            status="running",
            phase="krylov",
            space=KrylovSpace.empty(n, direction.dtype, direction.device),
            check=None,
            queue=none,
            quotients=unknown,
            rounds=rounds,
            guessed_at=0,
            probes=none,
            preconditioner=None,
            assisted=False,
            fresh=0,
            reference=unknown,
            distinct=distinct,
            eigenindex=torch.empty(0, dtype=torch.int64),
            coefficients=torch.empty(0, 0, dtype=torch.float64),
            values=unknown,
            residuals=torch.full((num_wanted,), torch.nan, dtype=torch.float64),
            n=n,
            restarts=0,
            margin=0.0,
            evidence_top=None,
            evidence_bottom=None,
            null_fraction=None,
            rng=rng,
        )

    @property
    def largest(self) -> float:
        """The largest Ritz value; 0.0 before there is one."""
        return float(self.space.values[0]) if len(self.space) else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Flat: space, check and preconditioner as their tensors."""
        flat = super().to_dict()
        parts = {"space": flat.pop("space").to_dict()}
        check, preconditioner = flat.pop("check"), flat.pop("preconditioner")
        if check is not None:
            parts["check"] = {"found": check.found, **check.space.to_dict()}
        parts |= {kind: preconditioner.to_dict() for kind, cls in PRECONDITIONERS.items() if isinstance(preconditioner, cls)}
        return flat | {f"{name}.{key}": value for name, part in parts.items() for key, value in part.items()}

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> Self:
        """The state that `to_dict` described."""
        values = dict(flat)
        space, check = _part(values, "space"), _part(values, "check")
        made = [made(**part) for kind, made in PRECONDITIONERS.items() if (part := _part(values, kind))]
        return super().from_dict(
            values
            | {
                "space": KrylovSpace.from_dict(space),
                "check": BottomCheck(check.pop("found"), KrylovSpace.from_dict(check)) if check else None,
                "preconditioner": made[0] if made else None,
            }
        )


def _part(flat: dict[str, Any], name: str) -> dict[str, Any]:
    """Takes the entries "<name>.<key>" out of a flat dict."""
    return {key.removeprefix(f"{name}."): flat.pop(key) for key in list(flat) if key.startswith(f"{name}.")}
