"""What the Davidson solver keeps of one image."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eigexp.solvers.base import ImageState
from eigexp.solvers.davidson.space import Array, PencilSpace

_ARRAYS = ("eigenindex", "positions", "residuals", "locked_values", "previous")


@dataclass(frozen=True, kw_only=True)
class DavidsonImage(ImageState):
    """One image's state.

    Attributes:
        phase: search | check | finished.
        searched: steps taken when the search took its last one.
        space: the space.
        eigenindex: ranks of the sought pairs that the space holds (k,).
        positions: of them among the Ritz pairs, from the end if negative (k,).
        residuals: norms of F v - theta M v over the root of the least eigenvalue of M, for v^T M v = 1 (k,).
        locked_values: values of the pairs that the space has locked (k,).
        previous: coefficients of the sought Ritz vectors before the last step (k, d).
        top_checked, bottom_checked: no ratio beyond those found is possible at that end, but for a small probability.
        top_point, bottom_point: number of the ratio beyond them at which that was possible last; see `check`.
        n: coordinates of a vector.
        least: a lower bound on the least eigenvalue of M.
        rng: state of the image's own random generator.
    """

    phase: str
    searched: int
    space: PencilSpace
    eigenindex: NDArray[np.int64]
    positions: NDArray[np.int64]
    residuals: Array
    locked_values: Array
    previous: Array
    top_checked: bool
    bottom_checked: bool
    top_point: int
    bottom_point: int
    n: int
    least: float
    rng: Tensor

    @property
    def values(self) -> Array:
        """Return the values of the sought pairs (k,)."""
        return self.space.values[self.positions]

    @property
    def largest(self) -> float:
        """Return the largest Ritz value; 0.0 before there is one."""
        return float(self.space.values[0]) if len(self.space) else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the state as a flat dict."""
        flat = super().to_dict()
        flat |= {name: torch.from_numpy(flat[name].copy()) for name in _ARRAYS}
        return flat | {f"space.{key}": value for key, value in flat.pop("space").to_dict().items()}

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> Self:
        """Return the state that `to_dict` described."""
        space = {key.removeprefix("space."): value for key, value in flat.items() if key.startswith("space.")}
        rest = {key: value for key, value in flat.items() if not key.startswith("space.")}
        rest |= {name: rest[name].numpy() for name in _ARRAYS}
        return super().from_dict(rest | {"space": PencilSpace.from_dict(space)})
