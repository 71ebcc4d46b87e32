"""The sensitivity of other models to stored distortions, as a chart with a row for each distortion and a mark for each model."""

from collections.abc import Mapping, Sequence
from typing import Any

from eigexp.report.chart import Chart, Mark, empty_chart, log_axis, row_axis
from eigexp.store.labels import number

_MOST_MODELS = 7  # that have a colour and a shape of their own
_DODGE = 0.56  # of a row's height, between the marks of the first and of the last model
_LEAST = 1e-12  # a smaller threshold's inverse is drawn at this


def seen_by_chart(rows: Sequence[Mapping[str, Any]]) -> Chart:
    """Return the predicted thresholds of stored distortions under several models.

    Args:
        rows: of `eigexp.experiment.seen_by.seen_by`.
    """
    title, label = "Predicted thresholds under other models", "predicted threshold of each stored distortion under each model, log scale"
    unit = "threshold 1/√(vᵀFv)  (norm in pixels)"
    if not rows:
        return empty_chart(title, label, unit, "distortion", "no distortions")
    names = list(dict.fromkeys(_name(row) for row in rows))
    models = list(dict.fromkeys(row["seen_by"] for row in rows))
    marks = [
        Mark(
            _threshold(row),
            names.index(_name(row)) + (_DODGE * (models.index(row["seen_by"]) / (len(models) - 1) - 0.5) if len(models) > 1 else 0.0),
            f"m{models.index(row['seen_by']) % _MOST_MODELS}",
            f"{_name(row)} seen by {row['seen_by']}: {number(_threshold(row), 3)}",
            models.index(row["seen_by"]) % _MOST_MODELS,
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


def _name(row: Mapping[str, Any]) -> str:
    layer = f" {row['layer']}" if row["layer"] else ""
    return f"{row['model']}{layer}, {row['image']}, {row['eigenindex']}"


def _threshold(row: Mapping[str, Any]) -> float:
    return max(float(row["value"]), _LEAST) ** -0.5
