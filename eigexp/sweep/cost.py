"""Predict what a task costs: from stored results of the same kind, or else by a formula for the default solver."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, Any

from eigexp.store import Store
from eigexp.store.record import canonical_json

if TYPE_CHECKING:
    from eigexp.experiment.plan_cache import PlanCache
    from eigexp.sweep.plan import PlannedTask

_VARYING = ("image", "weights", "seed")  # two identities that differ only here are of the same kind
_OTHER_OPERATORS = ("against", "norm")  # keys of an identity whose products cost more than those of the model alone
_REPEATS = 3  # of a forward pass that is timed, after the first
_ENOUGH_SECONDS = 2.0  # after which it is not repeated
# The default solver at k = 1: its tolerance, its most steps, its largest basis, and the products that it usually takes.
_TOL, _MAX_STEPS, _BASIS, _PRODUCTS = 1e-4, 1000, 300, 46.0
# Processor time of one thread of an AMD EPYC: once an image, once a product, and that for each vector of the basis; forward passes a
# product. Fitted to the cases of scripts/costs.py in one process that had computed before.
_START_SECONDS, _STEP_SECONDS, _BASIS_SECONDS, _PASSES = 0.04, 0.6e-3, 5e-6, 2.5


@dataclass(frozen=True)
class Cost:
    """Fisher-vector products, and seconds of one process; `measured` where both come from stored results of the same model and size."""

    products: float
    seconds: float
    measured: bool


class CostEstimates:
    """Costs of tasks by stored results with the same model, layer, noise, subspace and size.

    Where the solver is the same too, their median is taken. Where it is the default solver with other settings, their products are scaled
    by `expected_products`, which says them alone where nothing is stored.

    Args:
        store: of the results.
    """

    def __init__(self, store: Store):
        self._same: dict[str, list[tuple[float, float]]] = {}
        self._similar: dict[str, list[tuple[float, float]]] = {}
        self._passes: dict[str, float | None] = {}
        for record in store.records():
            if record["identity"]:
                self._add(record["identity"], float(record["fisher_vector_products"]), float(record["seconds"]))

    def stored(self, identity: Mapping[str, Any]) -> Cost | None:
        """Return the cost of an image by stored results; None if there is none of its kind."""
        same, similar = self._same.get(_kind(identity)), self._similar.get(_kind(identity, "solver"))
        usual = expected_products(identity)
        if same:
            return Cost(*_medians(same), measured=True)
        if similar and usual:
            factor, seconds = _medians(similar)
            return Cost(usual * factor, usual * factor * seconds, measured=True)
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
        products = expected_products(task.identity)
        if products is None or any(key in task.identity for key in _OTHER_OPERATORS):
            return None
        key = canonical_json([task.identity.get(part) for part in ("model", "layer", "shape", "dtype")])
        if key not in self._passes:
            self._passes[key] = pass_seconds(task, self._cache)
        duration = self._passes[key]
        return None if duration is None else Cost(products, expected_seconds(products, duration), measured=False)


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
    step = _STEP_SECONDS + _BASIS_SECONDS * min(products, _BASIS)
    return _START_SECONDS + products * (step + _PASSES * pass_seconds)


def pass_seconds(task: "PlannedTask", cache: "PlanCache") -> float | None:
    """Return the duration of a forward pass of the task's model at its first image, the least of several; None where it fails."""
    import torch

    from eigexp.experiment.tasks import TaskList

    first = TaskList(task.config, cache).among(task.ids[:1])[0]
    pixels, durations = first.pixels(), []
    try:
        with torch.no_grad():
            while len(durations) <= _REPEATS and sum(durations) < _ENOUGH_SECONDS:
                began = time.perf_counter()
                first.model(pixels)
                durations.append(time.perf_counter() - began)
    except Exception:  # the task itself will say what is wrong with its model
        return None
    return min(durations)


def total(costs: Iterable[tuple[Cost, int]]) -> Cost:
    """Return the sum of costs, each as often as it occurs; measured if all are."""
    costs = list(costs)
    products, seconds = (sum(getattr(cost, name) * count for cost, count in costs) for name in ("products", "seconds"))
    return Cost(products, seconds, all(cost.measured for cost, _ in costs))


def _kind(identity: Mapping[str, Any], *also: str) -> str:
    return canonical_json({key: value for key, value in identity.items() if key not in (*_VARYING, *also)})


def _medians(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    first, second = zip(*pairs, strict=True)
    return median(first), median(second)
