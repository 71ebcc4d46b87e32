"""Which model explains the thresholds of observers best, with one free scale for each of them."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigexp.errors import ConfigurationError
from eigexp.psychophysics.fit import Threshold
from eigexp.psychophysics.separation import Predicted, interval_of
from eigexp.store.files import read_bytes

PREDICTIONS = "predictions.csv"
PREDICTED_COLUMNS = ("id", "eigenindex", "seen_by", "threshold")


@dataclass(frozen=True)
class Explained:
    """How well one model predicts the thresholds of one observer.

    Attributes:
        observer: the name; "all" for the sum over observers, each with its own scale.
        model: that predicts.
        scale: measured over predicted threshold, the free scale; None for all observers.
        scale_interval: of it, by the errors of the bootstrap, 95 %: thresholds are estimated a little too low. None for all observers.
        error: root mean square of ln(measured / (scale predicted)), weighted by the precision of each threshold.
        chi2: sum of its squares in standard errors: about the number of thresholds, less one for each observer, if the model is right.
        thresholds: number of them.
        best: share of the bootstraps in which no other model has a smaller `chi2`.
    """

    observer: str
    model: str
    scale: float | None
    scale_interval: tuple[float, float] | None
    error: float
    chi2: float
    thresholds: int
    best: float


def read_predictions(path: str | Path) -> dict[tuple[str, int], dict[str, float]]:
    """Return the thresholds that models predict, by id and eigenindex of a distortion, then by model.

    Raises:
        ConfigurationError: if the file lacks a column, or a value is invalid.
        StoreError: if it cannot be read.
    """
    reader = csv.DictReader(io.StringIO(read_bytes(Path(path), follow=True).decode("utf-8-sig", "replace"), newline=""))
    if missing := [name for name in PREDICTED_COLUMNS if name not in (reader.fieldnames or ())]:
        raise ConfigurationError(f"{path} lacks the column {missing[0]!r}. `eigexp export --experiment` writes such a file.")
    found: dict[tuple[str, int], dict[str, float]] = {}
    for line, row in enumerate(reader, 2):
        try:
            value = float(row["threshold"] or "inf")  # empty where the model sees nothing
            if not value > 0:
                raise ValueError(f"threshold={row['threshold']} is not positive")
            found.setdefault((row["id"], int(row["eigenindex"])), {})[row["seen_by"]] = value
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"{path}, line {line}: {error}. Write a positive number, or nothing where the model predicts no threshold."
            ) from error
    return found


def explain(thresholds: Sequence[Threshold], predicted: Predicted) -> list[Explained]:
    """Return each observer's fit by each model that predicts all of the observer's thresholds, and of all observers; the best first.

    Args:
        thresholds: of `fit_thresholds`; those beyond the norms shown are left out.
        predicted: of `read_predictions`.
    """
    thresholds = [t for t in thresholds if t.inside]
    observers = list(dict.fromkeys(t.condition.observer for t in thresholds))
    tables = {name: _table([t for t in thresholds if t.condition.observer == name], predicted) for name in observers}
    rows = [row for name, table in tables.items() for row in _rows(name, table)]
    common = [model for model in next(iter(tables.values()), {}) if all(model in table for table in tables.values())]
    if len(observers) > 1:
        rows += _rows("all", {model: _sum([table[model] for table in tables.values()]) for model in common})
    return rows


@dataclass(frozen=True, eq=False)
class _Fit:
    """One model's fit: `logs` and `chi2` are of the data first and then of each bootstrap."""

    logs: NDArray[Any] | None
    chi2: NDArray[Any]
    weight: float
    count: int


def _table(thresholds: Sequence[Threshold], predicted: Predicted) -> dict[str, _Fit]:
    known: list[Mapping[str, float]] = [predicted.get((t.condition.id, t.condition.eigenindex), {}) for t in thresholds]
    models = [name for name in known[0] if all(name in each for each in known)]
    measured = np.stack([np.concatenate([[t.log_norm], t.bootstraps]) for t in thresholds])
    weights = np.array([t.error for t in thresholds]) ** -2.0
    return {name: _scaled(measured, np.log([each[name] for each in known]), weights) for name in models}


def _scaled(measured: NDArray[Any], predicted: NDArray[Any], weights: NDArray[Any]) -> _Fit:
    if not np.isfinite(predicted).all():  # a change that was seen, and that the model does not see at all
        nothing = np.full(measured.shape[1], np.inf)
        return _Fit(nothing, nothing, float(weights.sum()), len(measured))
    ratios = measured - predicted[:, None]
    scales = weights @ ratios / weights.sum()
    return _Fit(scales, weights @ (ratios - scales) ** 2, float(weights.sum()), len(measured))


def _sum(fits: Sequence[_Fit]) -> _Fit:
    return _Fit(None, np.sum([fit.chi2 for fit in fits], axis=0), sum(fit.weight for fit in fits), sum(fit.count for fit in fits))


def _rows(observer: str, table: Mapping[str, _Fit]) -> list[Explained]:
    if not table:
        return []
    least = np.min([fit.chi2[1:] for fit in table.values()], axis=0)
    rows = []
    for model, fit in table.items():
        known = fit.logs is not None and np.isfinite(fit.logs).all()
        interval = interval_of(np.exp(2 * fit.logs[0] - fit.logs[1:])) if known and fit.logs is not None else None
        scale = float(np.exp(fit.logs[0])) if known and fit.logs is not None else None
        error, best = float(np.sqrt(fit.chi2[0] / fit.weight)), float(np.mean(fit.chi2[1:] <= least))
        rows.append(Explained(observer, model, scale, interval, error, float(fit.chi2[0]), fit.count, best))
    return sorted(rows, key=lambda row: row.chi2)
