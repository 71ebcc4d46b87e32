"""A second Krylov space, orthogonal to the pairs found, that looks for eigenvalues which the first has missed.

The first space grows from one vector, so it holds one vector of each eigenspace and can reach a dense end out of order. This one starts
from a fresh random vector w in the orthogonal complement of the vectors found ("locked"), n' coordinates, and stays there. Let C be F
projected onto that complement.

Why a bound follows. If C y = c y with |y| = 1, the part of y in the space solves (H - c) x = -b <q, y> e_last, where H is the projection,
q the next Lanczos vector and b its coupling. So x is known up to a factor, |x| <= 1, and |<w, y>| <= |x_first| / |x|: the *weight bound*
of c. A random unit vector has |<w, y>| <= a with a probability of at most a sqrt(2 n' / pi). Beyond the extreme Ritz value the weight bound
falls with the distance and with every step. Once it is below `_RISK` sqrt(pi / (2 n')), no eigenvalue of C lies at c or beyond, but for a
probability of `_RISK`. (For a measure and its orthogonal polynomials: Christoffel's numbers; Szego 1975, section 3.41. Kuczynski and
Wozniakowski 1992 bound the same probability without the Ritz values.) By Cauchy's interlacing theorem the k-th eigenvalue of F is then no
further out either, up to the residuals of the locked pairs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from eigexp.linalg.gaussian import gaussian_rows
from eigexp.linalg.orthonormal import inner
from eigexp.solvers.krylov.space import KrylovSpace

_RISK = 1e-3  # probability that a check overlooks an eigenvalue
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
        locked: orthonormal vectors found (k, n).
        space: in their orthogonal complement.
        start: index of the vector that the space has grown from since it restarted last.
        exhausted: there was no new direction: the space holds a vector of every eigenspace of C.
        poles, residues: a row a restart: the Ritz values before it, and the factor of <w, y> that each contributes.
    """

    locked: Tensor
    space: KrylovSpace
    start: int
    exhausted: bool
    poles: Tensor
    residues: Tensor

    @classmethod
    def of(cls, locked: Tensor) -> Self:
        """Return the space of locked vectors (k, n) before its first product."""
        none = torch.empty(0, 0, dtype=torch.float64)
        return cls(locked, KrylovSpace.empty(locked.shape[1], locked.dtype, locked.device), 0, False, none, none)

    @property
    def dimension(self) -> int:
        """Return the dimension n' of the complement."""
        return self.locked.shape[1] - len(self.locked)

    def random_direction(self, rng: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return a random unit vector (n,) of the complement, new to the space, and the generator's next state."""
        draw, rng = gaussian_rows(1, self.locked.shape[1], rng, self.locked)
        return self.new_part(draw[0]), rng

    def new_part(self, direction: Tensor) -> Tensor | None:
        """Return the unit vector along what is new in a direction (n,), or None.

        The locked vectors are projected out in float64: what rounding leaves of them would grow back to the largest eigenvalues.
        """
        t = self.space.orthogonal_part(self._outside(direction))
        return None if t is None else self._outside(t)

    def expand(self, v: Tensor, g: Tensor, quotient: float) -> Self:
        """Return the space with a further direction v (n,), given g = F v and the Rayleigh quotient; the first is the start w."""
        return replace(self, space=self.space.expand(v, g, quotient))

    def next_direction(self, limit: int, kept: tuple[int, int]) -> tuple[Self, Tensor | None]:
        """Return the space, restarted from its `kept` outermost Ritz vectors once it has `limit`, and the next Lanczos vector q (n,).

        None is returned for q, and the space marked, where it is exhausted.
        """
        # No new direction: the space is invariant under C, and its Ritz pairs are exact.
        q = None if len(self.space) >= self.dimension else self.new_part(self.space.last_image())
        if q is None:
            return replace(self, exhausted=True), None
        return (self if len(self.space) < limit else self._restarted(q, kept)), q

    def _restarted(self, q: Tensor, kept: tuple[int, int]) -> Self:
        """Return the thick restart, with what keeps the weight bound valid.

        Every Ritz vector's share of <w, y>, kept or not, is a known multiple of <q, y>; the next cycle bounds <q, y> as this one <w, y>.
        """
        values, vectors = self.space.values, self.space.vectors
        shares = float(inner(self.space.G.rows[-1:], q)) * vectors[:, self.start] * vectors[:, -1]
        space = self.space.restarted(*kept)
        return replace(
            self,
            space=space,
            start=len(space),
            poles=_stacked(self.poles, values, torch.inf),
            residues=_stacked(self.residues, shares, 0.0),
        )

    def extreme(self, sign: int) -> tuple[float, float]:
        """Return the extreme Ritz value of an end and its residual norm."""
        i = 0 if sign > 0 else -1
        return float(self.space.values[i]), self.space.residual(i)[1]

    def beyond(self, sign: int, number: int) -> Tensor:
        """Return the outermost Ritz vectors of an end (number, n)."""
        return self.space.combine(self._outermost(self.space.vectors, sign)[:number])

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
        chosen = self._outermost(torch.arange(len(self.space)), end.sign)[:number]
        residuals = self.space.residuals(self.space.vectors[chosen], self.space.values[chosen])
        return self.exhausted or bool((torch.linalg.vector_norm(residuals, dim=1, dtype=torch.float64) <= end.allowed).all())

    @staticmethod
    def _outermost(rows: Tensor, sign: int) -> Tensor:
        return rows if sign > 0 else rows.flip(0)

    def _outside(self, vector: Tensor) -> Tensor:
        """Return the part of a vector (n,) that is orthogonal to the locked ones: twice, in float64."""
        locked, t = self.locked.double(), vector.double()
        for _ in range(2):
            t = t - locked.T @ (locked @ t)
        return t.to(vector)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain tensors and numbers."""
        own = {name: getattr(self, name) for name in ("locked", "start", "exhausted", "poles", "residues")}
        return own | self.space.to_dict()

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> Self:
        """Return the space that `to_dict` described."""
        own = {name: flat.pop(name) for name in ("locked", "start", "exhausted", "poles", "residues")}
        return cls(space=KrylovSpace.from_dict(flat), **own)


def weight_at_risk(n: int) -> float:
    """Return the weight that a random unit vector of n coordinates has in a given direction at least, but for a probability of `_RISK`."""
    return _RISK * math.sqrt(math.pi / (2 * n))


def least_margin(end: End, rules_out: Callable[[float], bool], least: float = 0.0) -> float:
    """Return the least distance beyond theta that is ruled out, by halving; it is known of the distance allowed."""
    # The bound falls with the distance beyond theta, so that halving finds where it crosses.
    low, high = least, end.allowed
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if rules_out(end.theta + end.sign * middle) else (middle, high)
    return high


def _stacked(rows: Tensor, row: Tensor, fill: float) -> Tensor:
    """Return rows (cycles, d) with one more, the shorter ones filled up."""
    stacked = torch.full((len(rows) + 1, max(rows.shape[1], len(row))), fill, dtype=torch.float64)
    stacked[:-1, : rows.shape[1]], stacked[-1, : len(row)] = rows, row
    return stacked
