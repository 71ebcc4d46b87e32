"""What the sparse solver keeps of one image."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from eigexp.linalg.basis import Basis
from eigexp.pairs import Evidence
from eigexp.solvers.base import ImageState, Request


@dataclass(frozen=True)
class SparseImage(ImageState):
    """One image's state.

    Attributes:
        phase: window | compressed | check | finished.
        n: coordinates of a vector.
        rows, columns: distance of a column group's pixels; 0 before the windows are known.
        compressed: responses to the seed vectors so far.
        check: random vectors (4, n) for the check.
        eigenindex, values, vectors, residuals: the wanted pairs, empty before the end.
        largest: the largest eigenvalue.
        evidence_top, evidence_bottom: what is known about an end.
        margin_top, margin_bottom: how far beyond its value an end's eigenvalue may be.
        next_top, next_bottom: value and residual of the pair beyond those of an end, or None.
        rng: state of the image's own random generator.
    """

    phase: str
    n: int
    rows: int
    columns: int
    compressed: Basis
    check: Tensor
    eigenindex: Tensor
    values: Tensor
    vectors: Tensor
    residuals: Tensor
    largest: float
    evidence_top: Evidence
    evidence_bottom: Evidence
    margin_top: float
    margin_bottom: float
    next_top: tuple[float, float] | None
    next_bottom: tuple[float, float] | None
    rng: Tensor

    @classmethod
    def begin(cls, request: Request, check: Tensor, m: int, rng: Tensor) -> Self:
        """Return the state that asks for the gradients of some of m responses, and knows nothing."""
        n = check.shape[1]
        none = torch.empty(0, dtype=torch.float64)
        return cls(
            request=request,
            phase="window",
            n=n,
            rows=0,
            columns=0,
            compressed=Basis.of(check.new_empty(0, m)),
            check=check,
            eigenindex=torch.empty(0, dtype=torch.int64),
            values=none,
            vectors=check.new_empty(0, n),
            residuals=none,
            largest=0.0,
            evidence_top="budget",
            evidence_bottom="budget",
            margin_top=0.0,
            margin_bottom=0.0,
            next_top=None,
            next_bottom=None,
            rng=rng,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a flat dict, the compressed Jacobian as the tensor of its rows."""
        return super().to_dict() | {"compressed": self.compressed.rows.clone()}

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> Self:
        """Return the state that `to_dict` described."""
        return super().from_dict(flat | {"compressed": Basis.of(flat["compressed"])})
