"""Measured against predicted thresholds, as a chart: a mark for each distortion and model, on the diagonal where the model is right."""

from collections.abc import Sequence
from dataclasses import dataclass

from eigexp.report.chart import Chart, Line, Mark, empty_chart, log_axis
from eigexp.store.labels import number

_MOST_MODELS = 7  # that have a colour and a shape of their own


@dataclass(frozen=True)
class Measured:
    """One threshold of an observer, as one model predicts it.

    Attributes:
        observer: the name.
        model: that predicts.
        norm: the threshold.
        interval: of it.
        predicted: by the model, times the observer's scale.
    """

    observer: str
    model: str
    norm: float
    interval: tuple[float, float]
    predicted: float


def measured_chart(points: Sequence[Measured]) -> Chart:
    """Return measured thresholds with their intervals over those that each model predicts, one free scale for each observer."""
    title, label = "Measured and predicted thresholds", "measured thresholds of observers over those that models predict, log scales"
    x, y = "predicted threshold \u00d7 scale of the observer (norm in pixels)", "measured threshold (norm in pixels)"
    if not points:
        return empty_chart(title, label, x, y, "no model predicts these thresholds")
    models = list(dict.fromkeys(point.model for point in points))
    axis, other = log_axis(x, [p.predicted for p in points]), log_axis(y, [value for p in points for value in (p.norm, *p.interval)])
    ends = max(axis.low, other.low), min(axis.high, other.high)
    roles = {name: (f"m{at % _MOST_MODELS}", at % _MOST_MODELS) for at, name in enumerate(models)}
    marks = [_mark(point, *roles[point.model]) for point in points]
    diagonal = Line(tuple((end, end) for end in ends), "other", minor=True, dashed=True)
    legend = tuple((*roles[name], name) for name in models[:_MOST_MODELS])
    return Chart(title, label, axis, other, marks=tuple(marks), lines=(diagonal,), legend=legend, legend_title="model")


def _mark(point: Measured, role: str, shape: int) -> Mark:
    words = f"{point.observer}, {point.model}: measured {number(point.norm, 3)}, predicted {number(point.predicted, 3)}"
    return Mark(point.predicted, point.norm, role, words, shape, span=point.interval)
