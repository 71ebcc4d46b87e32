"""The sensitivity of several models to their two principal distortions, as a chart with one row per model."""

from math import exp

from eigexp.report.chart import Chart, Mark, log_axis, row_axis
from eigexp.report.view import View
from eigexp.store.labels import number


def principal_chart(view: View) -> Chart:
    """Return the predicted thresholds of both distortions under each model, of a record with `principal`."""
    facts = view.record["principal"]
    models, share = facts["models"], facts["value"] / facts["bound"] if facts["bound"] else 1.0
    roles = (("top", 0, "u"), ("bottom", 1, "v"))
    marks = [
        Mark(exp(-value / 2), row + (0.14 if shape else -0.14), role, f"{name}, {which}: {number(exp(-value / 2), 3)}", shape)
        for row, (name, values) in enumerate(zip(models, facts["log_sensitivities"], strict=True))
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
