"""The common settings of iterations for both ends of the spectrum: number of pairs, tolerances and maximum number of steps."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eigexp.linalg.rayleigh_ritz import wanted_indices
from eigexp.operators.base import Operator
from eigexp.solvers.base import Solver
from eigexp.solvers.settings import check_counts, check_positive, check_precision, check_sizes


@dataclass(frozen=True)
class Wanted:
    """Which of n eigenpairs are requested: the `top` first and the `bottom` last."""

    n: int
    top: int
    bottom: int

    @property
    def eigenindex(self) -> Tensor:
        """Return their ranks, increasing, none twice."""
        return wanted_indices(self.n, self.top, self.bottom)

    def held(self, d: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the ranks that d Ritz pairs can stand for, largest first, and the positions of those pairs, from the end if negative."""
        return _held(self, min(d, self.top + self.bottom))


@lru_cache  # asked at every step, with the same answer from a few steps on
def _held(wanted: Wanted, d: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    index = wanted.eigenindex.tolist()
    # A small space fills the top first, which converges first and sets the scale of all tolerances.
    tops = [(i, i) for i in index if i < wanted.top][:d]
    bottoms = [(i, i - wanted.n) for i in index if i >= wanted.top][len(tops) - d :] if d > len(tops) else []
    ranks, positions = zip(*tops, *bottoms, strict=True) if d else ((), ())
    return np.array(ranks, np.int64), np.array(positions, np.int64)


@dataclass(frozen=True)
class BothEnds(Solver):
    """Base of the iterations.

    Attributes:
        k: number of eigenpairs at each end.
        k_top: number at the largest end, if other than k; 0 for the smallest end only.
        k_bottom: number at the smallest end, if other than k; 0 for the largest end only.
        tol: residual norm to reach, relative to the largest eigenvalue.
        bottom_rtol: residual norm to reach at the smallest eigenvalues, relative to each of them; None for no such condition.
        max_steps: maximum number of steps of one image; then it stops with status "budget".
    """

    k: int = 1
    k_top: int | None = None
    k_bottom: int | None = None
    tol: float = 1e-4
    bottom_rtol: float | None = None
    max_steps: int = 1000

    def __post_init__(self) -> None:
        check_positive(tol=self.tol, bottom_rtol=self.bottom_rtol, max_steps=self.max_steps)
        check_counts(k=self.k, k_top=self.k_top, k_bottom=self.k_bottom)

    @property
    def num_top(self) -> int:
        """Return the number of pairs requested at the largest end."""
        return self.k if self.k_top is None else self.k_top

    @property
    def num_bottom(self) -> int:
        """Return the number of pairs requested at the smallest end."""
        return self.k if self.k_bottom is None else self.k_bottom

    def wanted(self, n: int) -> Wanted:
        """Return which of n pairs are requested."""
        return Wanted(n, self.num_top, self.num_bottom)

    def check(self, A: Operator) -> None:
        """Refuse settings that are impossible for an operator.

        Raises:
            ConfigurationError: if there are fewer eigenvalues than requested, or `tol` is below the rounding of the products.
        """
        check_sizes(self.num_top, self.num_bottom, A.shape.n)
        check_precision(self.tol, A.dtype)

    def met(self, values: Any, residuals: Any, bottom: Any, largest: float, dtype: torch.dtype) -> Any:
        """Return which pairs have met the tolerances, shape (k,); see `tolerances_met`."""
        return tolerances_met(values, residuals, bottom, largest, dtype, self.tol, self.bottom_rtol)


def tolerances_met(
    values: Any, residuals: Any, bottom: Any, largest: float, dtype: torch.dtype, tol: float, bottom_rtol: float | None
) -> Any:
    """Return which pairs have met the tolerances, shape (k,); `bottom_rtol` does not apply to a value that is zero up to rounding.

    Tensors and arrays will both do.

    Args:
        values: (k,).
        residuals: their residual norms (k,).
        bottom: which of them are at the bottom (k,).
        largest: lambda_1.
        dtype: of the products.
        tol: on residuals relative to lambda_1.
        bottom_rtol: on residuals at the bottom relative to their values; None for no such condition.
    """
    met = residuals <= tol * largest
    if bottom_rtol is None:
        return met
    # Products are rounded relative to lambda_1: below that, no number of steps makes a residual small relative to its own value.
    zero = values <= 4 * torch.finfo(dtype).eps * largest
    return met & (~bottom | zero | (residuals <= bottom_rtol * values))
