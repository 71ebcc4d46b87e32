"""What the Krylov solver keeps of one image."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eigexp.pairs import Evidence
from eigexp.solvers.base import ImageState, Request
from eigexp.solvers.krylov.complement import Complement
from eigexp.solvers.krylov.preconditioners import PRECONDITIONERS, Preconditioner
from eigexp.solvers.krylov.space import Array, KrylovSpace

_ARRAYS = ("eigenindex", "coefficients", "values", "residuals")


@dataclass(frozen=True)
class KrylovImage(ImageState):
    """One image's state.

    Attributes:
        phase: krylov | structured | probe | check | finished; see `solver`.
        space: the space that both ends come from.
        check: the second space, while it looks for what the first has missed.
        queue: directions (q, n) not yet expanded, best first: structured vectors that were kept, or vectors that the check has found.
        quotients: their Rayleigh quotients (q,), float64; -inf for vectors that the check has found.
        rounds: rounds of structured vectors tried.
        tried_at: the step at which the last round was tried.
        probes: gradients A^T u (p, n) of random responses, until they make a preconditioner.
        preconditioner: for residuals of the smallest pairs, once there is one.
        assisted: the space does not rest on one random start alone: it holds a structured vector, a preconditioned one, or one that the
            check has found.
        top_checked, bottom_checked: nothing that was missed is left beyond the pairs found at that end.
        top_margin, bottom_margin: how far beyond them that conclusion leaves room, in units of the eigenvalues.
        next_top, next_bottom: value and residual of the check's best pair beyond those found, or None.
        eigenindex: ranks of the sought pairs that the space holds (k,).
        coefficients: of their vectors in the space (k, d), when they were extracted last.
        values: their Rayleigh quotients (k,).
        residuals: their residual norms (k,); NaN before they are all there.
        n: coordinates of a vector.
        restarts: of the space.
        evidence_top, evidence_bottom: what the solver can say of an end, once it has finished.
        null_fraction: estimated share of the null space.
        rng: state of the image's own random generator.
    """

    phase: str
    space: KrylovSpace
    check: Complement | None
    queue: Tensor
    quotients: Tensor
    rounds: int
    tried_at: int
    probes: Tensor
    preconditioner: Preconditioner | None
    assisted: bool
    top_checked: bool
    bottom_checked: bool
    top_margin: float
    bottom_margin: float
    next_top: tuple[float, float] | None
    next_bottom: tuple[float, float] | None
    eigenindex: NDArray[np.int64]
    coefficients: Array
    values: Array
    residuals: Array
    n: int
    restarts: int
    evidence_top: Evidence | None
    evidence_bottom: Evidence | None
    null_fraction: float | None
    rng: Tensor

    @classmethod
    def begin(cls, direction: Tensor, *, num_sought: int, rounds: int, rng: Tensor) -> Self:
        """Return the state that asks for the product with a first direction (n,), and knows nothing."""
        none = direction.new_empty(0, len(direction))
        space = KrylovSpace.empty(none).along(direction)
        assert space is not None
        return cls(
            request=Request("fisher", space.direction),
            phase="krylov",
            space=space,
            check=None,
            queue=none,
            quotients=torch.empty(0, dtype=torch.float64),
            rounds=rounds,
            tried_at=0,
            probes=none,
            preconditioner=None,
            assisted=False,
            top_checked=False,
            bottom_checked=False,
            top_margin=0.0,
            bottom_margin=0.0,
            next_top=None,
            next_bottom=None,
            eigenindex=np.empty(0, np.int64),
            coefficients=np.empty((0, 0)),
            values=np.empty(0),
            residuals=np.full(num_sought, np.nan),
            n=len(direction),
            restarts=0,
            evidence_top=None,
            evidence_bottom=None,
            null_fraction=None,
            rng=rng,
        )

    @property
    def largest(self) -> float:
        """Return the largest Ritz value, when pairs were extracted last; 0.0 before. It is among the sought pairs, whatever is asked."""
        return float(self.values[0]) if len(self.values) else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return a flat dict: space, check and preconditioner as their tensors."""
        flat = super().to_dict()
        flat |= {name: torch.from_numpy(flat[name]) for name in _ARRAYS}
        parts = {"space": flat.pop("space").to_dict()}
        check, preconditioner = flat.pop("check"), flat.pop("preconditioner")
        if check is not None:
            parts["check"] = check.to_dict()
        parts |= {kind: preconditioner.to_dict() for kind, cls in PRECONDITIONERS.items() if isinstance(preconditioner, cls)}
        return flat | {f"{name}.{key}": value for name, part in parts.items() for key, value in part.items()}

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> Self:
        """Return the state that `to_dict` described."""
        values = dict(flat)
        space, check = _part(values, "space"), _part(values, "check")
        made = [made(**part) for kind, made in PRECONDITIONERS.items() if (part := _part(values, kind))]
        return super().from_dict(
            values
            | {name: values[name].numpy() for name in _ARRAYS}
            | {
                "space": KrylovSpace.from_dict(space),
                "check": Complement.from_dict(check) if check else None,
                "preconditioner": made[0] if made else None,
            }
        )


def _part(flat: dict[str, Any], name: str) -> dict[str, Any]:
    """Take the entries "<name>.<key>" out of a flat dict."""
    return {key.removeprefix(f"{name}."): flat.pop(key) for key in list(flat) if key.startswith(f"{name}.")}
