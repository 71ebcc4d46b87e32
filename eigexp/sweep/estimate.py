"""What a task will cost, from what like tasks have cost."""

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from eigexp.store import Store
from eigexp.store.record import canonical_json
from eigexp.store.result import RECORD, read_record

_OWN = ("image", "weights", "seed")


class Estimates:
    """Fisher-vector products of earlier results of the same model, layer, solver, noise, subspace and size."""

    def __init__(self, store: Store):
        self._costs: dict[str, list[float]] = {}
        for id in store.ids():
            record = read_record(store.path(id) / RECORD)
            if record.get("identity") and record.get("fisher_vector_products") is not None:
                self._costs.setdefault(_kind(record["identity"]), []).append(record["fisher_vector_products"])

    def of(self, identity: Mapping[str, Any]) -> float | None:
        """The median, None where there is no like result."""
        costs = self._costs.get(_kind(identity))
        return median(costs) if costs else None

    def of_all(self, identities: Iterable[Mapping[str, Any]]) -> float | None:
        """The sum of `of`, None where one is not known."""
        costs = [self.of(identity) for identity in identities]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    def total(self, identities: Iterable[Mapping[str, Any]]) -> tuple[float, int]:
        """The sum over tasks that can be estimated, and how many cannot."""
        known = [self.of(identity) for identity in identities]
        return sum(cost for cost in known if cost is not None), sum(cost is None for cost in known)


def _kind(identity: Mapping[str, Any]) -> str:
    return canonical_json({key: value for key, value in identity.items() if key not in _OWN})
