"""Predict what a task costs: from stored results of the same kind, else by a trial, else by a formula for the default solver."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from eigexp.store import Store
from eigexp.store.record import canonical_json
from eigexp.sweep.trial import Trial, try_image

if TYPE_CHECKING:
    from eigexp.experiment.plan_cache import PlanCache
    from eigexp.sweep.plan import PlannedTask
    from eigexp.training.task import Task

_VARYING = ("image", "weights", "seed")  # two identities that differ only here are of the same kind
_OTHER_OPERATORS = ("against", "norm")  # keys of an identity whose products cost more than those of the model alone
_TRIAL_SECONDS, _ALL_TRIALS_SECONDS = 2.0, 20.0  # of wall-clock time: of one trial, and of all that a plan may begin
_FEWEST_PASSES = 30  # that must fit into a trial: as many as a dozen products take
_REPEATS = 3  # of a forward pass that is timed, after the first
_ENOUGH_SECONDS = 2.0  # after which it is not repeated
# The default solver at k = 1: its tolerance, its most steps, its largest basis, and the products that it usually takes.
_TOL, _MAX_STEPS, _BASIS, _PRODUCTS = 1e-4, 1000, 300, 46.0
# Once an image, and once a step: what a run takes beside its solver. Measured in one process that had computed before, on one thread.
_START_SECONDS, _STEP_SECONDS = 0.01, 0.3e-3
# By the formula, of one thread of an AMD EPYC: once a product, and that for each vector of the basis; forward passes a product.
_PRODUCT_SECONDS, _BASIS_SECONDS, _PASSES = 0.6e-3, 5e-6, 2.5
_TRIAL_SPREAD = (0.5, 2.0)  # what a trial that did not come to its end may be wrong by, as factors
_FORMULA_SPREAD = (0.5, 8.0)  # what the formula may be wrong by, as factors; networks without normalisation take the most

Source = Literal["results", "trial", "part of a trial", "formula"]
_SOURCES: tuple[Source, ...] = ("results", "trial", "part of a trial", "formula")  # the most certain first


@dataclass(frozen=True)
class Cost:
    """Fisher-vector products, and seconds of one process.

    Attributes:
        products: expected.
        seconds: expected, on this machine's processor with nothing else to do, or what stored results took on theirs.
        source: what it is known from.
        low: factor from what is expected to the least that it may be.
        high: factor to the most.
    """

    products: float
    seconds: float
    source: Source
    low: float = 1.0
    high: float = 1.0


class CostEstimates:
    """Costs of tasks by stored results with the same model, layer, noise, subspace and size.

    Where the solver is the same too, their median is taken. Where it is the default solver with other settings, their products are scaled
    by `expected_products`. Where nothing is stored, the solver works on the first image for two seconds, see `trial`. `expected_products`
    says alone what models cost that are too slow for that.

    Args:
        store: of the results.
    """

    def __init__(self, store: Store):
        self._same: dict[str, list[tuple[float, float]]] = {}
        self._similar: dict[str, list[tuple[float, float]]] = {}
        self._tried: dict[str, Cost | None] = {}
        self._left = _ALL_TRIALS_SECONDS
        for record in store.records():
            if record["identity"]:
                self._add(record["identity"], float(record["fisher_vector_products"]), float(record["seconds"]))

    def stored(self, identity: Mapping[str, Any]) -> Cost | None:
        """Return the cost of an image by stored results; None if there is none of its kind."""
        same, similar = self._same.get(_kind(identity)), self._similar.get(_kind(identity, "solver"))
        usual = expected_products(identity)
        if same:
            return Cost(*_medians(same), "results")
        if similar and usual:
            factor, seconds = _medians(similar)
            return Cost(usual * factor, usual * factor * seconds, "results")
        return None

    def of(self, task: "PlannedTask") -> Cost | None:
        """Return the cost of a task, all its images and layers; None where neither results nor the formula say it."""
        parts = task.parts or (task,)
        costs = [(self.stored(part.identity) or self._expected(part), len(part.ids)) for part in parts]
        return total((cost, count) for cost, count in costs if cost) if all(cost for cost, _ in costs) else None

    @cached_property
    def _cache(self) -> "PlanCache":
        from eigexp.experiment.plan_cache import PlanCache

        return PlanCache()

    def _add(self, identity: Mapping[str, Any], products: float, seconds: float) -> None:
        self._same.setdefault(_kind(identity), []).append((products, seconds))
        usual = expected_products(identity)
        if usual and products:
            self._similar.setdefault(_kind(identity, "solver"), []).append((products / usual, seconds / products))

    def _expected(self, task: "PlannedTask") -> Cost | None:
        key = _kind(task.identity)
        if key not in self._tried:
            try:
                self._tried[key] = self._try(task)
            except Exception:  # the task itself will say what is wrong with its model
                self._tried[key] = None
        return self._tried[key]

    def _try(self, task: "PlannedTask") -> Cost | None:
        """Return the cost of the first image by a trial, or by the formula where that would take too long."""
        from eigexp.experiment.parts import solve_settings
        from eigexp.experiment.tasks import TaskList

        first = TaskList(task.config, self._cache).among(task.ids[:1])[0]
        if first.metric is not None:  # a matrix of the second model would have to be computed first
            return None
        began = time.perf_counter()
        try:
            duration, limit = pass_seconds(first), min(_TRIAL_SECONDS, self._left)
            trial = try_image(first, solve_settings(task.config), limit) if _FEWEST_PASSES * duration <= limit else None
        finally:
            self._left -= time.perf_counter() - began
        if trial:
            return _by_trial(trial)
        products = expected_products(task.identity)
        if products is None or any(key in task.identity for key in _OTHER_OPERATORS):
            return None
        return Cost(products, expected_seconds(products, duration), "formula", *_FORMULA_SPREAD)


def _by_trial(trial: Trial) -> Cost:
    seconds = _START_SECONDS + trial.seconds + _STEP_SECONDS * trial.steps
    return Cost(trial.products, seconds, "trial") if trial.certain else Cost(trial.products, seconds, "part of a trial", *_TRIAL_SPREAD)


def expected_products(identity: Mapping[str, Any]) -> float | None:
    """Return the Fisher-vector products that the default solver usually takes for an image, its certificate included.

    A fit to runs of the front ends and of layers of ResNet18 at 32 to 64 pixels, k from 1 to 10, tolerances from 1e-2 to 1e-5: 46 at
    k = 1 and 1e-4, growing with k^1.1 of the end with more pairs, and by an eighth for each digit. Some models differ from it, up to
    fourfold at k > 1.

    Args:
        identity: of the result; None is returned for other solvers.
    """
    solver = identity.get("solver")
    if not isinstance(solver, Mapping) or solver.get("name") != "krylov":
        return None
    k, tol, most = (_setting(solver, key, default) for key, default in (("k", 1), ("tol", _TOL), ("max_steps", _MAX_STEPS)))
    pairs = max(_setting(solver, key, k) for key in ("k_top", "k_bottom"))
    if not (pairs > 0 and tol > 0 and most > 0):
        return None
    return min(_PRODUCTS * pairs**1.1 * 1.12 ** -math.log10(tol / _TOL), most)


def _setting(solver: Mapping[str, Any], key: str, default: float) -> float:
    """Return a number of a record, which another user may have written: 0 for what is none."""
    value = solver.get(key)
    if value is None:
        return default
    return float(value) if isinstance(value, int | float) and 0 < value < 1e9 else 0.0


def expected_seconds(products: float, pass_seconds: float) -> float:
    """Return the seconds of an image on one process from its products and the duration of a forward pass.

    Beside the passes a step takes time of its own, which grows with the basis.
    """
    step = _PRODUCT_SECONDS + _BASIS_SECONDS * min(products, _BASIS)
    return _START_SECONDS + products * (step + _PASSES * pass_seconds)


def pass_seconds(task: "Task") -> float:
    """Return the duration of a forward pass of a task's model at its images, the least of several."""
    import torch

    pixels, durations = task.pixels(), []
    with torch.no_grad():
        while len(durations) <= _REPEATS and sum(durations) < _ENOUGH_SECONDS:
            began = time.thread_time()
            task.model(pixels)
            durations.append(time.thread_time() - began)
    return min(durations)


def total(costs: Iterable[tuple[Cost, int]]) -> Cost:
    """Return the sum of costs, each as often as it occurs; by the least certain of their sources."""
    costs = list(costs)
    products, seconds = (sum(getattr(cost, name) * count for cost, count in costs) for name in ("products", "seconds"))
    # The errors of a formula are common to all its tasks, so they do not cancel.
    low, high = (sum(getattr(cost, end) * cost.seconds * count for cost, count in costs) / (seconds or 1.0) for end in ("low", "high"))
    return Cost(products, seconds, _SOURCES[max(_SOURCES.index(cost.source) for cost, _ in costs)], low, high)


def _kind(identity: Mapping[str, Any], *also: str) -> str:
    return canonical_json({key: value for key, value in identity.items() if key not in (*_VARYING, *also)})


def _medians(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    first, second = zip(*pairs, strict=True)
    return median(first), median(second)
