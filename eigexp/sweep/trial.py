"""Predict what an image costs by a trial: its solver works for a moment, and the rest follows from how the residuals fall."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eigexp.solvers.base import Progress, Solver
    from eigexp.training.settings import SolveSettings
    from eigexp.training.task import Task

_FEWEST_STEPS = 8  # from which on something is said
_CHECK_STEPS = 11  # of the default solver's check for a missed pair, at k = 1
_CHECK_SHARE = 0.45  # steps of a check for several pairs, relative to those of the search before it
_FARTHEST = 2.0  # a search is assumed to take at most this many times the steps so far, in addition
_CERTIFICATE = 15.0  # products that take as long as a certificate in float64


@dataclass(frozen=True)
class Point:
    """How far an image is after a step.

    Attributes:
        steps: taken.
        products: spent.
        seconds: since the work began.
        excess: the largest residual relative to what is allowed; at most 1 where all have converged, infinite where one is not known.
        fraction: of the work, where the solver knows it.
    """

    steps: int
    products: float
    seconds: float
    excess: float
    fraction: float | None = None


@dataclass(frozen=True)
class Trial:
    """What an image takes.

    Attributes:
        products: its certificate's included.
        seconds: of the solver and the certificate.
        steps: of the solver.
        certain: whether the trial came to its end, or knows how much is left.
    """

    products: float
    seconds: float
    steps: float
    certain: bool


def try_image(task: "Task", settings: "SolveSettings", seconds: float) -> Trial | None:
    """Return what a task of one image takes: what it took if it ends within the time given, otherwise an extrapolation.

    Args:
        task: with one image.
        settings: of its solver.
        seconds: of wall-clock time, after which the trial ends.

    Returns:
        None where too few steps were taken to say anything.
    """
    from eigexp.training.task_state import TaskState

    A, solver = settings.operator(task), settings.solver
    state = solver.init(A, settings.seed)
    current = TaskState(task, A, solver, state, solver.progress(state), settings.certify)
    # A person waits for the wall clock; what is predicted is the time on a machine that does nothing else.
    curve, began = list[Point](), time.thread_time()
    while not current.done and current.seconds < seconds:
        current.state, current.progress = current.next_step()
        curve.append(point(current.progress[0], time.thread_time() - began, solver, A.shape.n))
    if not current.done:
        return extrapolated(curve, max(getattr(solver, "num_top", 1), getattr(solver, "num_bottom", 1)), getattr(solver, "max_steps", None))
    (pairs,) = current.eigenpairs()
    return Trial(pairs.fisher_vector_products, time.thread_time() - began, len(curve), certain=True)


def extrapolated(curve: Sequence[Point], pairs: int, most: int | None = None) -> Trial | None:
    """Return what an image takes from the first part of its curve; None if that is too short.

    Args:
        curve: a point for each step.
        pairs: wanted at the end with more of them.
        most: steps allowed.
    """
    if len(curve) < _FEWEST_STEPS:
        return None
    first, last = curve[0], curve[-1]
    steps = last.steps / last.fraction if last.fraction else min(_expected_steps(curve, pairs), most or math.inf)
    products = last.products * steps / last.steps
    a_product = (last.seconds - first.seconds) / (last.products - first.products)  # the first is slow: it makes what the others use
    return Trial(products, (products + _CERTIFICATE) * a_product, steps, certain=last.fraction is not None)


def _expected_steps(curve: Sequence[Point], pairs: int) -> float:
    """Return the steps after which a search and its check will be over, if the residuals fall as they did in the last half of the steps.

    Residuals of Krylov spaces fall ever more slowly where the end of the spectrum is dense, so the first half is not representative.
    """
    steps, excess = curve[-1].steps, curve[-1].excess
    if excess <= 1:
        search = next((point.steps for point in reversed(curve) if point.excess > 1), 0)
        return max(search + _check_steps(search, pairs), 1.1 * steps)
    known = [(point.steps, math.log(point.excess)) for point in curve if 0 < point.excess < math.inf]
    late = _slope([(step, excess) for step, excess in known if step > steps / 2])
    slope = late if late < 0 else _slope(known)  # residuals may rise for a while, so that the whole curve says more
    more = known[-1][1] / -slope if slope < 0 else math.inf
    search = steps + min(max(more, 0.1 * steps), _FARTHEST * steps)
    return search + _check_steps(search, pairs)


def _check_steps(search: float, pairs: int) -> float:
    return _CHECK_STEPS if pairs == 1 else max(_CHECK_STEPS, _CHECK_SHARE * search)


def _slope(known: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the line of least squares; 0 for fewer than two points."""
    if len(known) < 2:
        return 0.0
    from statistics import linear_regression

    return linear_regression(*zip(*known, strict=True)).slope


def point(progress: "Progress", seconds: float, solver: "Solver", n: int) -> Point:
    """Return the point of a curve that belongs to a solver's progress."""
    rtol: Any = getattr(solver, "bottom_rtol", None)
    excess = 0.0
    for index, value, residual in zip(progress.eigenindex, progress.eigenvalues, progress.residuals, strict=False):
        allowed = progress.tolerance * progress.largest
        if rtol is not None and index > n / 2 and value > 0:
            allowed = min(allowed, rtol * value)
        excess = max(excess, residual / allowed if allowed > 0 and residual == residual else math.inf)
    return Point(progress.steps, progress.fisher_vector_products, seconds, excess if progress.residuals else math.inf, progress.fraction)
