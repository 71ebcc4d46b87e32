"""Estimate the cost of a task from similar stored results."""

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from eigexp.store import Store
from eigexp.store.record import canonical_json

_VARYING = ("image", "weights", "seed")  # two identities that differ only here are of the same kind


class CostEstimates:
    """Fisher-vector products of stored results with the same model, layer, solver, noise, subspace and size.

    Args:
        store: of the results.
    """

    def __init__(self, store: Store):
        self._costs: dict[str, list[float]] = {}
        for record in store.records():
            if record["identity"]:
                self._costs.setdefault(_kind(record["identity"]), []).append(record["fisher_vector_products"])

    def of(self, identity: Mapping[str, Any]) -> float | None:
        """Return the median cost; None if no similar result is stored."""
        costs = self._costs.get(_kind(identity))
        return median(costs) if costs else None

    def of_all(self, identities: Iterable[Mapping[str, Any]]) -> float | None:
        """Return the sum of the costs; None if one is unknown."""
        costs = [self.of(identity) for identity in identities]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    def total(self, identities: Iterable[Mapping[str, Any]]) -> tuple[float, int]:
        """Return the sum of the known costs, and the number of unknown ones."""
        costs = [self.of(identity) for identity in identities]
        return sum(cost for cost in costs if cost is not None), sum(cost is None for cost in costs)


def _kind(identity: Mapping[str, Any]) -> str:
    return canonical_json({key: value for key, value in identity.items() if key not in _VARYING})
