"""The sensitivity of several models to their two principal distortions, as a chart with one row per model."""

from collections.abc import Sequence
from math import exp

from eigexp.report.chart import Chart, Mark, log_axis, row_axis
from eigexp.store.labels import number


def principal_chart(models: Sequence[str], log_sensitivities: Sequence[Sequence[float]], share: float) -> Chart:
    """Return the predicted thresholds of both distortions under each model.

    Args:
        models: their names.
        log_sensitivities: of each model to u and to v.
        share: the disagreement found, relative to its bound.
    """
    roles = (("top", 0, "u"), ("bottom", 1, "v"))
    marks = [
        Mark(exp(-value / 2), row + (0.14 if shape else -0.14), role, f"{name}, {which}: {number(exp(-value / 2), 3)}", shape)
        for row, (name, values) in enumerate(zip(models, log_sensitivities, strict=True))
        for (role, shape, which), value in zip(roles, values, strict=True)
    ]
    return Chart(
        f"Principal distortions, at least {share:.0%} of the maximum disagreement",
        "predicted thresholds of both principal distortions under each model, log scale",
        log_axis("threshold (norm in pixels)", [mark.x for mark in marks]),
        row_axis(list(models)),
        values="x",
        marks=tuple(marks),
        legend=roles,
        legend_title="distortion",
    )
