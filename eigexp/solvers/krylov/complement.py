"""A second Krylov space, orthogonal to the pairs found, that looks for eigenvalues which the first has missed.

The first space grows from one vector, so it holds one vector of each eigenspace and can reach a dense end out of order. This one starts
from a fresh random vector w in the orthogonal complement of the vectors found ("locked"), n' coordinates, and stays there. Let C be F
projected onto that complement.

Why a bound follows. If C y = c y with |y| = 1, the part of y in the space solves (H - c) x = -b <q, y> e_last, where H is the projection,
q the next Lanczos vector and b its coupling. So x is known up to a factor, |x| <= 1, and |<w, y>| <= |x_first| / |x|: the *weight bound*
of c. A random unit vector has |<w, y>| <= a with a probability of at most a sqrt(2 n' / pi). Beyond the extreme Ritz value the weight bound
falls with the distance and with every step. Once it is below `RISK` sqrt(pi / (2 n')), no eigenvalue of C lies at c or beyond, but for a
probability of `RISK`. (For a measure and its orthogonal polynomials: Christoffel's numbers; Szego 1975, section 3.41. Kuczynski and
Wozniakowski 1992 bound the same probability without the Ritz values.) By Cauchy's interlacing theorem the k-th eigenvalue of F is then no
further out either, up to the residuals of the locked pairs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from eigexp.linalg.gaussian import gaussian_rows, weight_at_risk
from eigexp.solvers.base import changed
from eigexp.solvers.krylov.space import Array, KrylovSpace

_HALVINGS = 20  # of an interval as wide as the tolerance


@dataclass(frozen=True)
class End:
    """One end of the spectrum as the check sees it.

    Attributes:
        sign: 1 for the largest eigenvalues, -1 for the smallest.
        theta: the innermost of the values found at this end.
        allowed: error allowed of them, same units.
        number: of pairs found at this end.
    """

    sign: int
    theta: float
    allowed: float
    number: int


@dataclass(frozen=True)
class Verdict:
    """What the check says of one end.

    Attributes:
        settled: nothing is left to do at this end.
        found: number of Ritz values of the complement that lie beyond those found, by more than what is allowed.
        margin: how far beyond theta the complement's eigenvalues may reach, if it is settled and nothing was found.
    """

    settled: bool
    found: int = 0
    margin: float = 0.0


@dataclass(frozen=True)
class Complement:
    """The second space.

    Attributes:
        space: orthogonal to the vectors found, which it has locked.
        start: index of the vector that the space has grown from since it restarted last.
        exhausted: there was no new direction: the space holds a vector of every eigenspace of C.
        poles, residues: a row a restart: the Ritz values before it, and the factor of <w, y> that each contributes.
    """

    space: KrylovSpace
    start: int
    exhausted: bool
    poles: Array
    residues: Array

    @classmethod
    def of(cls, locked: Tensor) -> Self:
        """Return the space of locked vectors (k, n) before its first product."""
        none = np.empty((0, 0))
        return cls(KrylovSpace.empty(locked), 0, False, none, none)

    @property
    def locked(self) -> Tensor:
        """Return the orthonormal vectors found (k, n)."""
        return self.space.locked

    @property
    def dimension(self) -> int:
        """Return the dimension n' of the complement."""
        return self.locked.shape[1] - len(self.locked)

    def begin(self, rng: Tensor) -> tuple[Self, Tensor]:
        """Return the space that waits for the product with its start w, a random vector, and the generator's next state."""
        draw, rng = gaussian_rows(1, self.locked.shape[1], rng, self.locked)
        space = self.space.along(draw[0])
        assert space is not None  # the pairs found are fewer than the coordinates
        return replace(self, space=space), rng

    def expand(self, forward: Tensor, back: Tensor) -> Self:
        """Return the space with the direction that it waits for, given A t (m,) and F t (n,)."""
        return changed(self, space=self.space.expand(forward, back))

    def next_direction(self, limit: int, kept: tuple[int, int]) -> Self:
        """Return the space that waits for the next Lanczos vector q, restarted from its `kept` outermost Ritz vectors once it has `limit`.

        Where there is none it waits for nothing, and is marked as exhausted.
        """
        # No new direction: the space is invariant under C, and its Ritz pairs are exact.
        if len(self.space) >= self.dimension or not len(self.space.R):
            return replace(self, exhausted=True)
        check = self if len(self.space) < limit else self._restarted(kept)
        space = check.space.along_latest()
        assert space is not None  # there is a row R
        return changed(check, space=space)

    def _restarted(self, kept: tuple[int, int]) -> Self:
        """Return the thick restart, with what keeps the weight bound valid.

        Every Ritz vector's share of <w, y>, kept or not, is a known multiple of <q, y>; the next cycle bounds <q, y> as this one <w, y>.
        """
        values, vectors = self.space.values, self.space.vectors
        shares = self.space.C[0, -1] * vectors[:, self.start] * vectors[:, -1]
        space = self.space.restarted(*kept)
        return replace(
            self,
            space=space,
            start=len(space),
            poles=_stacked(self.poles, values, np.inf),
            residues=_stacked(self.residues, shares, 0.0),
        )

    def extreme(self, sign: int) -> tuple[float, float]:
        """Return the extreme Ritz value of an end and its residual norm."""
        i = 0 if sign > 0 else -1
        return float(self.space.values[i]), self.space.residual_norm(i)

    def beyond(self, sign: int, number: int) -> Tensor:
        """Return the outermost Ritz vectors of an end (number, n)."""
        return self.space.combine(self._outermost(self.space.vectors, sign)[:number].copy())

    def judge(self, end: End) -> Verdict:
        """Return what is known about an end."""
        values = end.sign * self._outermost(self.space.values, end.sign)
        theta = end.sign * end.theta
        # At most as many as were found before: a replacement for each of these.
        found = min(int((values > theta + end.allowed).sum()), end.number)
        if found:
            return Verdict(self._converged(end, found), found)
        excess = float(values[0]) - theta
        if self.exhausted:
            return Verdict(True, margin=max(0.0, excess))
        # All Ritz values lie inside theta, and nothing at theta or beyond is left: no margin is needed.
        if excess < 0 and self._rules_out(end.theta):
            return Verdict(True)
        # A neighbour of theta hides behind no distance: then the bound must hold at the end of what is allowed.
        if excess >= -end.allowed and self._rules_out(end.theta + end.sign * end.allowed):
            return Verdict(True, margin=self._margin(end, max(0.0, excess)))
        return Verdict(False)

    def weight_bound(self, c: float) -> float:
        """Return a bound of |<w, y>| for a unit eigenvector y of C with eigenvalue c beyond all Ritz values."""
        bound = self.space.weight_bound(c, self.start)
        # Each cycle bounds the weight on its start by that on the next one's start: the bounds multiply.
        for poles, residues in zip(self.poles, self.residues, strict=True):
            bound *= abs(float((residues / (c - poles)).sum()))
        return bound

    def _rules_out(self, c: float) -> bool:
        return self.weight_bound(c) <= weight_at_risk(self.dimension)

    def _margin(self, end: End, least: float) -> float:
        return least_margin(end, self._rules_out, least)

    def _converged(self, end: End, number: int) -> bool:
        chosen = self._outermost(np.arange(len(self.space)), end.sign)[:number]
        residuals = self.space.residual_norms(self.space.vectors[chosen], self.space.values[chosen])
        return self.exhausted or bool((residuals <= end.allowed).all())

    @staticmethod
    def _outermost(rows: Any, sign: int) -> Any:
        return rows if sign > 0 else rows[::-1]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain tensors and numbers."""
        tensors = {"poles": torch.from_numpy(self.poles), "residues": torch.from_numpy(self.residues)}
        return {"start": self.start, "exhausted": self.exhausted} | tensors | self.space.to_dict()

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> Self:
        """Return the space that `to_dict` described."""
        poles, residues = flat["poles"].numpy(), flat["residues"].numpy()
        return cls(KrylovSpace.from_dict(flat), flat["start"], flat["exhausted"], poles, residues)


def least_margin(end: End, rules_out: Callable[[float], bool], least: float = 0.0) -> float:
    """Return the least distance beyond theta that is ruled out, by halving; it is known of the distance allowed."""
    # The bound falls with the distance beyond theta, so that halving finds where it crosses.
    low, high = least, end.allowed
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if rules_out(end.theta + end.sign * middle) else (middle, high)
    return high


def _stacked(rows: Array, row: Array, fill: float) -> Array:
    """Return rows (cycles, d) with one more, the shorter ones filled up."""
    stacked = np.full((len(rows) + 1, max(rows.shape[1], len(row))), fill)
    stacked[:-1, : rows.shape[1]], stacked[-1, : len(row)] = rows, row
    return stacked
