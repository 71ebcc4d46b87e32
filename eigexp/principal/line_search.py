"""L-BFGS to a maximum with a weak Wolfe line search, as steps of one evaluation each; the state is plain tensors (Nocedal & Wright 2006).

The line search is by bisection (Lewis & Overton 2013): it ends where the value has risen enough and the slope has fallen enough, so that
every update of the inverse Hessian is positive definite.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

_RISE, _SLOPE = 1e-4, 0.9  # of the first slope: least mean slope of a step, and most slope at its end
_FIRST = 0.1  # length of the first step; the vectors have unit length
_HISTORY = 20  # steps that the inverse Hessian is made of
_MOST_TRIES = 30  # evaluations of one line search, after which rounding hides any rise
_ROUNDING = 1e-13  # of the value


@dataclass(frozen=True)
class Climb:
    """A point with its value, and the search along a line from it.

    Attributes:
        point: (2, n).
        value: there.
        gradient: there, (2, n).
        direction: of the line, (2, n).
        length: of the step that is tried next, in units of `direction`; 0.0 before the first point has a value.
        low: largest length known to be too short.
        high: smallest length known to be too long.
        tries: evaluations on this line.
        moves: latest steps, (history, 2 n).
        falls: by how much the gradient fell in each, (history, 2 n).
    """

    point: Tensor
    value: float
    gradient: Tensor
    direction: Tensor
    length: float
    low: float
    high: float
    tries: int
    moves: Tensor
    falls: Tensor

    @classmethod
    def at(cls, point: Tensor) -> Self:
        """Return the climb from a point whose value is not known."""
        none = point.new_empty(0, point.numel())
        zero = torch.zeros_like(point)
        return cls(point, -math.inf, zero, zero, 0.0, 0.0, math.inf, 0, none, none)

    @property
    def trial(self) -> Tensor:
        """Return the point to evaluate next."""
        return self.point + self.length * self.direction

    @property
    def stuck(self) -> bool:
        """Return whether no point of the line is higher, to rounding."""
        return self.tries >= _MOST_TRIES

    def after(self, value: float, gradient: Tensor) -> "Climb":
        """Return the climb after the trial point was evaluated: at that point, or on the same line."""
        if self.value == -math.inf:
            return self._moved(self.point, value, gradient)
        slope, last = (float((g * self.direction).sum()) for g in (self.gradient, gradient))
        risen = value >= self.value + _RISE * self.length * slope
        # Close to the maximum rounding hides the rise; the slope, which it hides later, then decides (Hager & Zhang 2005).
        level = value >= self.value - _ROUNDING * abs(self.value) and last >= -(1 - 2 * _RISE) * slope
        if not (risen or level):
            return self._on_line(self.low, self.length)
        if last > _SLOPE * slope:
            return self._on_line(self.length, self.high)
        return self._moved(self.trial, value, gradient)

    def _on_line(self, low: float, high: float) -> "Climb":
        length = 2 * low if math.isinf(high) else (low + high) / 2
        return replace(self, low=low, high=high, length=length, tries=self.tries + 1)

    def _moved(self, point: Tensor, value: float, gradient: Tensor) -> "Climb":
        first = self.value == -math.inf
        moves, falls = self.moves, self.falls
        if not first:
            moves = torch.cat([moves, (point - self.point).flatten()[None]])[-_HISTORY:]
            falls = torch.cat([falls, (self.gradient - gradient).flatten()[None]])[-_HISTORY:]
        direction = _newton(gradient.flatten(), moves, falls).view_as(gradient)
        length = _FIRST / max(float(gradient.norm()), 1e-300) if first else 1.0
        return Climb(point, value, gradient, direction, length, 0.0, math.inf, 0, moves, falls)


def _newton(gradient: Tensor, moves: Tensor, falls: Tensor) -> Tensor:
    """Return the inverse Hessian's estimate times the gradient: the two loops of L-BFGS."""
    pairs = [(s, y, 1 / (s @ y)) for s, y in zip(moves, falls, strict=True)]
    q, along = gradient, []
    for s, y, weight in reversed(pairs):
        along.append(weight * (s @ q))
        q = q - along[-1] * y
    if pairs:
        _, y, weight = pairs[-1]
        q = q / (weight * (y @ y))
    for (s, y, weight), a in zip(pairs, reversed(along), strict=True):
        q = q + (a - weight * (y @ q)) * s
    return q
