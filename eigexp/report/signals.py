"""An input that is not a picture, as a line over its entries."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigexp.report.chart import Axis, Chart, Line
from eigexp.store.labels import number

_MOST_POINTS = 1000


def signal(values: NDArray[Any], label: str, role: str = "image") -> Chart:
    """Return the chart of a signal.

    Args:
        values: its entries, of any shape.
        label: what it is.
        role: "image", or the end whose distortion it is.
    """
    entries = values.reshape(-1).astype(float)
    low, high = float(entries.min()), float(entries.max())
    keep = np.unique(np.linspace(0, len(entries) - 1, min(len(entries), _MOST_POINTS)).astype(int))
    line = Line(tuple((float(i), float(entries[i])) for i in keep), role)
    ticks = tuple(dict.fromkeys((value, number(value)) for value in (low, high)))
    return Chart("", label, Axis("", 0.0, float(max(len(entries) - 1, 1))), Axis("", low, high, ticks), lines=(line,))
