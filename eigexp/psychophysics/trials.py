"""Trials of observers, read from the files that an experiment writes."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigexp.errors import ConfigurationError
from eigexp.store.files import read_bytes

COLUMNS: tuple[str, ...] = (
    "observer",
    "task",
    "trial",
    "condition",
    "id",
    "model",
    "image",
    "eigenindex",
    "alpha",
    "shown",
    "file",
    "target",
    "response",
    "correct",
    "rt",
)
_NEEDED = ("observer", "task", "id", "model", "image", "eigenindex", "shown", "correct")


@dataclass(frozen=True, eq=False)
class Condition:
    """What one observer saw of one distortion.

    Attributes:
        observer: the name.
        task: the name.
        id: of the result.
        model: that the distortion is of.
        image: the name.
        eigenindex: of the distortion.
        norms: that were shown, ascending, shape (levels,).
        correct: number of correct trials at each.
        trials: number of trials at each.
    """

    observer: str
    task: str
    id: str
    model: str
    image: str
    eigenindex: int
    norms: NDArray[np.float64]
    correct: NDArray[np.int64]
    trials: NDArray[np.int64]

    @property
    def levels(self) -> int:
        """Return the number of norms that differ: those at which a distortion is clipped as a whole do not."""
        return len(np.unique(np.round(np.log(self.norms), 3)))


def read_trials(paths: Sequence[str | Path]) -> list[Condition]:
    """Return the conditions of all trials in CSV files, in order of their first trial.

    Raises:
        ConfigurationError: if a file has no trials, lacks a column, or a value is invalid; the message names file and line.
        StoreError: if a file cannot be read.
    """
    return conditions(row for path in paths for row in _rows(Path(path)))


def conditions(rows: Iterable[Mapping[str, Any]]) -> list[Condition]:
    """Return trials, with the values of `read_trials`, by condition and level. Signs of a distortion count as one."""
    found: dict[tuple[Any, ...], dict[float, list[tuple[float, int]]]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("observer", "task", "id", "model", "image", "eigenindex"))
        level = row.get("alpha") or row["shown"]
        found.setdefault(key, {}).setdefault(level, []).append((row["shown"], row["correct"]))
    return [_condition(key, levels) for key, levels in found.items()]


def _condition(key: tuple[Any, ...], levels: Mapping[float, list[tuple[float, int]]]) -> Condition:
    norms, correct, trials = _levels(levels)
    return Condition(*key, norms=norms, correct=correct, trials=trials)


def _levels(levels: Mapping[float, list[tuple[float, int]]]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the mean norm shown, the correct and all trials of each level."""
    ordered = sorted((float(np.mean([shown for shown, _ in trials])), trials) for trials in levels.values())
    norms = np.array([norm for norm, _ in ordered])
    return norms, np.array([sum(c for _, c in t) for _, t in ordered]), np.array([len(t) for _, t in ordered])


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        reader = csv.DictReader(io.StringIO(read_bytes(path, follow=True).decode("utf-8-sig"), newline=""))
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path} is not a CSV file in UTF-8 ({error}). Give trials of an experiment.") from error
    if missing := [name for name in _NEEDED if name not in (reader.fieldnames or ())]:
        raise ConfigurationError(f"{path} lacks the column {missing[0]!r}. Trials have {', '.join(_NEEDED)}.")
    if not rows:
        raise ConfigurationError(f"{path} has no trials. Give the file that an experiment wrote.")
    return [_row(row, f"{path}, line {line}") for line, row in enumerate(rows, 2)]


def _row(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    words = {name: str(row[name] or "").strip() for name in ("observer", "task", "id", "model", "image")}
    shown, index, correct = (_number(row, name, place) for name in ("shown", "eigenindex", "correct"))
    if shown <= 0:
        raise ConfigurationError(f"{place}: shown={row['shown']!r} must be a positive norm.")
    if correct not in (0, 1):
        raise ConfigurationError(f"{place}: correct={row['correct']!r} must be 0 or 1.")
    alpha = _number(row, "alpha", place) if row.get("alpha") else shown
    return {**words, "eigenindex": int(index), "alpha": alpha, "shown": shown, "correct": int(correct)}


def _number(row: Mapping[str, Any], name: str, place: str) -> float:
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ConfigurationError(f"{place}: {name}={row[name]!r} must be a number.")
    return value
