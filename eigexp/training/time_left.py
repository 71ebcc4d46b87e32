"""How long a task will still take, from how its residual has fallen so far."""

import math
from collections import deque

from eigexp.solvers.base import Progress


def relative_residual(progress: Progress) -> float:
    """The largest residual among the wanted pairs, relative to the largest eigenvalue; infinite before it is known."""
    if progress.largest <= 0 or not progress.residuals or any(math.isnan(r) for r in progress.residuals):
        return math.inf
    return max(progress.residuals) / progress.largest


class TimeLeft:
    """Estimates the seconds left: by the share done where the solver knows it, else by the slope of the logarithm of the residual.

    Args:
        samples: how many of the latest points the line is fitted to.
    """

    def __init__(self, samples: int = 40):
        self._points: deque[tuple[float, float]] = deque(maxlen=samples)
        self._first = math.nan

    def add(self, seconds: float, residual: float) -> None:
        """One point: relative residual after so many seconds. Infinite and zero residuals are left out."""
        if 0 < residual < math.inf:
            self._points.append((seconds, math.log10(residual)))
            self._first = self._points[-1][1] if math.isnan(self._first) else self._first

    def seconds(self, now: float, progress: Progress) -> float | None:
        """Seconds left, None where nothing points to an end."""
        if progress.fraction is not None:
            return now * (1 - progress.fraction) / progress.fraction if progress.fraction > 0 else None
        slope = self._slope()
        if slope is None or slope >= 0:
            return None
        return max(0.0, (math.log10(progress.tolerance) - self._points[-1][1]) / slope)

    def share(self, progress: Progress) -> float | None:
        """Share of the work done: the solver's own, else on the logarithmic way from the first residual to the tolerance."""
        if progress.done:
            return 1.0
        if progress.fraction is not None:
            return progress.fraction
        if not self._points or progress.tolerance <= 0:
            return None
        way = self._first - math.log10(progress.tolerance)
        return min(1.0, max(0.0, (self._first - self._points[-1][1]) / way)) if way > 0 else 1.0

    def _slope(self) -> float | None:
        if len(self._points) < 3:
            return None
        count = len(self._points)
        mean_x = sum(x for x, _ in self._points) / count
        mean_y = sum(y for _, y in self._points) / count
        spread = sum((x - mean_x) ** 2 for x, _ in self._points)
        return sum((x - mean_x) * (y - mean_y) for x, y in self._points) / spread if spread > 0 else None
