"""Eigenvalues with their intervals, on a log axis."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from eigexp.report.axes import chart_figure
from eigexp.report.chart import Axis, Chart, Mark, empty_chart, log_axis, thinned
from eigexp.report.view import View
from eigexp.report.words import unit_words
from eigexp.store.labels import VERIFIED, eigenindex_label, end_of

_MOST_LABELS = 6
_ROOM_BELOW = 10.0  # the lowest mark, for its arrow
_ARROW_SHARE = 0.15  # of the height above its mark
_LONGEST = 1000.0  # times that an interval reaches below its value, at most: one that nearly reaches zero must not flatten the rest


def spectrum_figure(
    result: Any,
    record: Mapping[str, Any] | None = None,
    curves: Sequence[Mapping[str, Any]] | None = None,
    size: tuple[float, float] = (4.6, 3.2),
) -> Figure:
    """Return the eigenvalues of a result against their eigenindices, with intervals; see `spectrum`.

    Args:
        result: a stored Result, or arrays by the names of pairs.safetensors.
        record: of the result, where arrays are given.
        curves: not used; the same arguments as every figure.
        size: inches.
    """
    return chart_figure(spectrum(View.of(result, record, curves)), size)


def spectrum(view: View) -> Chart:
    """Return the chart of the eigenvalues that were found, side by side in order of eigenindex, the largest at the left.

    A bar is the interval that holds the eigenvalue. Where it reaches zero only the upper bound is known: a limit with an arrow down.
    """
    y = f"λ  ({unit_words(view.record)})"
    words = ("eigenvalues with intervals", "eigenvalues and their intervals, log axis", "eigenindex (0 = largest)", y)
    marks = [mark for at, place in enumerate(_places(view)) if (mark := _mark(view, at, place)) is not None]
    if not marks:
        return empty_chart(*words, "all eigenvalues are zero" if len(view.eigenvalues) else "no eigenvalues")
    title, label, x, y = words
    highest = max(mark.span[1] if mark.span else mark.y for mark in marks)
    # An arrow has a fixed length on the page: the more powers of ten there are, the more of them it covers.
    lowest = min(mark.span[0] if mark.span else mark.y / max(_ROOM_BELOW, (highest / mark.y) ** _ARROW_SHARE) for mark in marks)
    places = _places(view)
    ticks = tuple((places[i], eigenindex_label(int(view.eigenindex[i]), view.n)) for i in thinned(len(places), _MOST_LABELS))
    return Chart(title, label, Axis(x, -0.8, places[-1] + 0.8, ticks), log_axis(y, (lowest, highest)), marks=tuple(marks))


def _mark(view: View, at: int, place: float) -> Mark | None:
    """Return a pair's mark; None where the eigenvalue is zero, which a log axis cannot show."""
    value, (low, high) = float(view.eigenvalues[at]), (float(bound) for bound in view.intervals[at])
    index = int(view.eigenindex[at])
    role, title = end_of(index, view.n), f"eigenindex {index:,}: {view.eigenvalue_text(at, form='long')}"
    hollow = view.evidence(at) not in VERIFIED
    if low > 0 and value > 0:
        return Mark(
            place, value, role, title, span=(max(low, value / _LONGEST), max(high, value)) if high < float("inf") else None, hollow=hollow
        )
    return Mark(place, high, role, title, limit="at most", hollow=hollow) if 0 < high < float("inf") else None


def _places(view: View) -> list[float]:
    """Return places side by side, with a gap where eigenindices are left out."""
    places: list[float] = []
    for i, index in enumerate(view.eigenindex):
        gap = 1.0 if i == 0 or index == view.eigenindex[i - 1] + 1 else 2.0
        places.append(places[-1] + gap if places else 0.0)
    return places
