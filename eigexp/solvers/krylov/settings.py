"""The settings of the Krylov solver, and quantities that depend only on them."""

from dataclasses import dataclass
from typing import Literal

import torch

from eigexp.errors import ConfigurationError
from eigexp.solvers.both_ends import BothEnds, Wanted
from eigexp.solvers.krylov.preconditioners import PRECONDITIONERS
from eigexp.solvers.settings import check_positive


@dataclass(frozen=True)
class KrylovSettings(BothEnds):
    """Settings of `Krylov`.

    Attributes:
        max_basis: number of vectors at which a space restarts from its best Ritz vectors.
        structured_vectors: try simple patterns (see `initial_vectors`) as initial vectors of the smallest eigenvalues.
        preconditioner: "pf" or "pb" directs the search for the smallest eigenvalues with an estimate of F's inverse (see
            `preconditioners`); None for no preconditioner.
        check_multiplicity: minimum number of steps, after the first, of the check for eigenvalues that were missed at the largest end;
            0 skips the check, and the evidence is then "converged".
        verify: also check the smallest end, if its values are neither proven nor found from a single random start; with False its
            evidence is "converged".
    """

    max_basis: int = 300
    structured_vectors: bool = True
    preconditioner: Literal["pf", "pb"] | None = None
    check_multiplicity: int = 10
    verify: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(max_basis=self.max_basis)
        if self.check_multiplicity < 0:
            raise ConfigurationError(f"solver.check_multiplicity={self.check_multiplicity} must not be negative. Set 0 to skip the check.")
        if self.preconditioner not in (None, *PRECONDITIONERS):
            raise ConfigurationError(f"solver.preconditioner={self.preconditioner} is unknown. Choose pf, pb or null.")

    @property
    def sought_top(self) -> int:
        """Return the number of pairs sought at the largest end: one at least, since lambda_1 is the scale of every tolerance."""
        return max(1, self.num_top)

    def sought(self, n: int) -> Wanted:
        """Return the pairs sought among n: those asked for, and the largest in any case."""
        return Wanted(n, self.sought_top, self.num_bottom)

    @property
    def kept(self) -> tuple[int, int]:
        """Return how many Ritz vectors a restart keeps at the largest and at the smallest end; the smallest end converges more slowly."""
        # Ritz vectors beyond those asked for keep the gap to the rest of the spectrum wide, which sets the speed after a restart.
        return self.sought_top + 3, self.num_bottom + 8

    @property
    def limit(self) -> int:
        """Return the number of vectors at which a space restarts: at least twice what a restart keeps, so that there is room to grow."""
        return max(self.max_basis, 2 * sum(self.kept))

    @property
    def may_check(self) -> bool:
        """Return whether a second space, for the check, can be needed."""
        bottom_may_need_it = self.num_bottom > 1 or self.structured_vectors or self.preconditioner is not None
        return bool(self.num_top and self.check_multiplicity) or bool(self.verify and self.num_bottom and bottom_may_need_it)

    def allowed_at_top(self, largest: float) -> float:
        """Return the error allowed of the largest eigenvalues, in their units."""
        return self.tol * largest

    def allowed_at_bottom(self, largest: float, theta: float) -> float:
        """Return the error allowed of the smallest eigenvalues, the largest of which is `theta`, in their units."""
        absolute = self.tol * largest
        return absolute if self.bottom_rtol is None else min(absolute, self.bottom_rtol * max(theta, 0.0))

    def proves_bottom(self, theta: float, largest: float, dtype: torch.dtype) -> bool:
        """Return whether 0 <= lambda_i <= theta settles the i-th smallest value (F is positive semidefinite)."""
        # The computed theta is true to a few roundings of lambda_1; relative to itself only a theta that is zero to rounding is settled.
        rounding = 4 * torch.finfo(dtype).eps * largest
        return theta + rounding <= self.tol * largest and (self.bottom_rtol is None or theta <= rounding)
