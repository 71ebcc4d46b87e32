"""The sensitivity of other models to stored distortions, as a chart with a row for each distortion and a mark for each model."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eigexp.errors import ConfigurationError
from eigexp.report.chart import Chart, Mark, empty_chart, log_axis, row_axis
from eigexp.store.files import read_bytes
from eigexp.store.labels import number, shortest

_MOST_MODELS = 7  # that have a colour and a shape of their own
_DODGE = 0.56  # of a row's height, between the marks of the first and of the last model
_LEAST = 1e-12  # of v'Fv; smaller values are drawn as a threshold that is at least that of this


def seen_by_chart(rows: Sequence[Mapping[str, Any]]) -> Chart:
    """Return the predicted thresholds of stored distortions under several models.

    Args:
        rows: of `eigexp.experiment.seen_by.seen_by`.
    """
    title, label = "Predicted thresholds under other models", "predicted threshold of each stored distortion under each model, log scale"
    unit = "threshold 1/√(vᵀFv)  (norm in pixels)"
    if not rows:
        return empty_chart(title, label, unit, "distortion", "no distortions")
    known = _names(rows)
    names = list(dict.fromkeys(known.values()))
    models = list(dict.fromkeys(row["seen_by"] for row in rows))
    marks = [
        Mark(
            _threshold(row),
            names.index(known[row["id"], row["eigenindex"]])
            + (_DODGE * (models.index(row["seen_by"]) / (len(models) - 1) - 0.5) if len(models) > 1 else 0.0),
            f"m{models.index(row['seen_by']) % _MOST_MODELS}",
            f"{known[row['id'], row['eigenindex']]} seen by {row['seen_by']}: {_words(row)}",
            models.index(row["seen_by"]) % _MOST_MODELS,
            limit="" if row["value"] >= _LEAST else "at least",
            id=row["id"],
        )
        for row in rows
    ]
    legend = tuple((f"m{i % _MOST_MODELS}", i % _MOST_MODELS, name) for i, name in enumerate(models))
    return Chart(
        title,
        label,
        log_axis(unit, [m.x for m in marks]),
        row_axis(names),
        values="x",
        marks=tuple(marks),
        legend=legend,
        legend_title="seen by",
    )


def read_seen_by(path: str | Path) -> list[dict[str, Any]]:
    """Return the rows of a file of `eigexp cross --format json`.

    Raises:
        ConfigurationError: if it is another file.
        StoreError: if it cannot be read.
    """
    try:
        rows = json.loads(read_bytes(Path(path), follow=True))
        if not (isinstance(rows, list) and rows):
            raise ValueError("it has no rows")
        for row in rows:
            _check(row)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigurationError(
            f"{path} is not a table of `eigexp cross` ({error}). Make one: eigexp cross --models ln,lg --format json > {path}"
        ) from error
    return rows


def _check(row: Mapping[str, Any]) -> None:
    """Refuse a row without what a chart shows."""
    texts = [row[name] for name in ("id", "model", "image", "seen_by")]
    if not (all(isinstance(text, str) for text in texts) and isinstance(row["layer"], str | None) and isinstance(row["eigenindex"], int)):
        raise ValueError("a name is not text, or an eigenindex no whole number")
    if isinstance(row["value"], bool) or not isinstance(row["value"], int | float) or not math.isfinite(row["value"]):
        raise ValueError(f"value={row['value']!r} is not a number")


def _names(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], str]:
    """Return what each distortion is called: results of one model and image, of other settings, carry the first digits of their ids."""
    plain = {}
    for row in rows:
        layer = f" {row['layer']}" if row["layer"] else ""
        plain[row["id"], row["eigenindex"]] = f"{row['model']}{layer}, {row['image']}"
    owners: dict[str, set[str]] = {}
    for (id, _), name in plain.items():
        owners.setdefault(name, set()).add(id)
    short = shortest(id for id, _ in plain)
    return {(id, i): f"{name}{f' {short[id]}' if len(owners[name]) > 1 else ''}, eigenindex {i}" for (id, i), name in plain.items()}


def _words(row: Mapping[str, Any]) -> str:
    return f"{'at least ' if row['value'] < _LEAST else ''}{number(_threshold(row), 3)}"


def _threshold(row: Mapping[str, Any]) -> float:
    return max(float(row["value"]), _LEAST) ** -0.5
