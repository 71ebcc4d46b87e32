"""A bottom found with help is doubted: a Krylov space of its own, from a fresh random vector, looks for something smaller outside it."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from eigexp.linalg.orthonormal import random_orthogonal
from eigexp.solvers.krylov.space import KrylovSpace

_MINIMUM = 8  # products before the space is believed


@dataclass(frozen=True)
class Verdict:
    """What a check has come to; at most one of the three is there.

    Attributes:
        lower: a vector (n,) whose Rayleigh quotient is below the bottom's.
        margin: nothing is below; how far below the bottom value room is left for an eigenvalue.
        direction: undecided; where to look next (n,), None for anywhere new.
    """

    lower: Tensor | None = None
    margin: float | None = None
    direction: Tensor | None = None


@dataclass(frozen=True)
class BottomCheck:
    """The check of one image's bottom.

    Attributes:
        found: the bottom vectors (k, n), orthonormal.
        space: of the projection of F onto what is orthogonal to them.
    """

    found: Tensor
    space: KrylovSpace

    @classmethod
    def of(cls, found: Tensor) -> Self:
        """The check of bottom vectors (k, n), before its first product."""
        return cls(found, KrylovSpace.empty(found.shape[1], found.dtype, found.device))

    def expand(self, v: Tensor, g: Tensor, quotient: float) -> Self:
        """With a further direction v (n,), given g = F v and the Rayleigh quotient."""
        return replace(self, space=self.space.expand(v, self._outside(g), quotient))

    def judge(self, theta: float, allowed: float) -> Verdict:
        """Compare the smallest Ritz value of the space with `theta`, the largest of the bottom values.

        The space has said enough when its smallest pair is exact, known to `allowed`, or further from theta than four times its residual.
        """
        mu = float(self.space.values[-1])
        residual, r = self.space.residual(-1)
        if mu < theta - allowed:
            return Verdict(lower=self.space.combine(self.space.vectors[-1:])[0])
        complete = len(self.space) + len(self.found) >= self.found.shape[1]
        if complete or (len(self.space) >= _MINIMUM and (r <= (mu - theta) / 4 or r <= allowed)):
            return Verdict(margin=max(0.0, theta - (mu - r)))
        return Verdict(direction=self.space.orthogonal_part(self._outside(residual)))

    def anywhere(self, rng: Tensor) -> tuple[Tensor, Tensor]:
        """A random direction (n,) that is new, and the generator's next state."""
        return random_orthogonal(torch.cat([self.found, self.space.V.rows]), self.found.shape[1], rng)

    def _outside(self, vector: Tensor) -> Tensor:
        return vector - self.found.T @ (self.found @ vector)
