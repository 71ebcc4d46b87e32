"""The number that a run returns to a sweeper of Hydra: one of the metrics of its results."""

import re
from collections.abc import Sequence
from pathlib import Path

from eigexp.errors import ConfigurationError, nearest
from eigexp.store.metric_names import SUMMARY, pair_metrics, record_summary
from eigexp.store.result import read_record

_PAIR = re.compile(r"(top|bottom)/[1-9]\d*/(eigenvalue|residual)")
_OF_RECORDS = ("fisher_vector_products", "seconds", "steps")


def check_objective(name: str | None, *, shards: bool = False) -> None:
    """Refuse a name of no metric, and a metric of results in shards.

    Raises:
        ConfigurationError: with the nearest known ones.
    """
    known = ("top/1/eigenvalue", "bottom/1/eigenvalue", "top/1/residual", *SUMMARY, *_OF_RECORDS)
    if name is not None and name not in known and not _PAIR.fullmatch(str(name)):
        raise ConfigurationError(f"optimized_metric={name} is unknown. {nearest(str(name), known)}")
    if name is not None and shards:
        raise ConfigurationError(f"optimized_metric={name} is read from the results' folders. Set shards=false.")


def objective(folders: Sequence[Path], name: str | None) -> float | None:
    """Return the mean of a metric over results; None where none is asked.

    Args:
        folders: of the results.
        name: "D_lower", "top/1/eigenvalue", "seconds", ...

    Raises:
        ConfigurationError: if a result does not have it, or there is no result.
    """
    if name is None:
        return None
    values = [_metrics(folder).get(name) for folder in folders]
    if not values or None in values:
        raise ConfigurationError(
            f"optimized_metric={name}: some results of this run do not have it. "
            "Request pairs at both ends, and make sure that the largest is verified."
        )
    return sum(value for value in values if value is not None) / len(values)


def _metrics(folder: Path) -> dict[str, float]:
    record = read_record(folder / "record.json")
    pairs = pair_metrics(record["eigenindex"], record["n"], eigenvalue=record["eigenvalues"], residual=record["residuals"])
    return {**pairs, **record_summary(record), **{key: float(record[key]) for key in _OF_RECORDS if record.get(key) is not None}}
