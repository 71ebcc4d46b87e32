"""Estimate how long a task will still take, from how fast its residual falls."""

import math
from collections import deque

from eigexp.solvers.base import Progress


def relative_residual(progress: Progress) -> float:
    """Return the largest residual of the wanted pairs, relative to the largest eigenvalue; infinite before it is known."""
    if progress.largest <= 0 or not progress.residuals or any(math.isnan(r) for r in progress.residuals):
        return math.inf
    return max(progress.residuals) / progress.largest


class TimeLeft:
    """Estimates the seconds left: from the fraction done where the solver knows it, else from a line through the logarithm of the residual.

    Args:
        samples: number of latest points that the line is fitted to.
    """

    def __init__(self, samples: int = 40):
        self._points: deque[tuple[float, float]] = deque(maxlen=samples)
        self._first = math.nan

    def add(self, seconds: float, residual: float) -> None:
        """Add a point: the relative residual after a number of seconds. Infinite and zero residuals are ignored."""
        if 0 < residual < math.inf:
            self._points.append((seconds, math.log10(residual)))
            self._first = self._points[-1][1] if math.isnan(self._first) else self._first

    def seconds(self, now: float, progress: Progress) -> float | None:
        """Return the seconds left; None if unknown.

        It is unknown where the residual does not fall, or the pairs have converged and only the check for missed ones is running.
        """
        if progress.fraction is not None:
            return now * (1 - progress.fraction) / progress.fraction if progress.fraction > 0 else None
        slope = self._slope()
        if slope is None or slope >= 0 or (self._points[-1][1] <= math.log10(progress.tolerance) and not progress.done):
            return None
        return max(0.0, (math.log10(progress.tolerance) - self._points[-1][1]) / slope)

    def share(self, progress: Progress) -> float | None:
        """Return the fraction done: the solver's, else how far the log residual has fallen from its first value to the tolerance."""
        if progress.done:
            return 1.0
        if progress.fraction is not None:
            return progress.fraction
        if not self._points or progress.tolerance <= 0:
            return None
        distance = self._first - math.log10(progress.tolerance)
        return min(1.0, max(0.0, (self._first - self._points[-1][1]) / distance)) if distance > 0 else 1.0

    def _slope(self) -> float | None:
        if len(self._points) < 3:
            return None
        count = len(self._points)
        mean_x = sum(x for x, _ in self._points) / count
        mean_y = sum(y for _, y in self._points) / count
        spread = sum((x - mean_x) ** 2 for x, _ in self._points)
        return sum((x - mean_x) * (y - mean_y) for x, y in self._points) / spread if spread > 0 else None
