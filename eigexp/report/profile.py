"""A network layer by layer: D, and the sensitivities at both ends, against depth."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from matplotlib.figure import Figure

from eigexp.report.axes import charts_figure
from eigexp.report.chart import Axis, Chart, Line, Mark, linear_axis, log_axis
from eigexp.report.separation import KEY_LETTERS, MOST_IMAGES, dodge, shown
from eigexp.report.words import shortened_apart
from eigexp.store.labels import VERIFIED, eigenvalue_text
from eigexp.store.rows import Row
from eigexp.store.selection import Selection

_DODGE = 0.3  # of the way to the next layer
_ROOM = 1.15  # times the largest D, for arrows


def networks(selection: Selection) -> dict[str, list[Row]]:
    """Return the results of each model and its settings that has several layers, layers in natural order."""
    found: dict[str, list[Row]] = {}
    for row in selection.rows:
        label = selection.labels[row["id"]]
        found.setdefault(", ".join(part for part in (label.model, label.settings) if part), []).append(row)
    return {name: rows for name, rows in found.items() if len({row["layer"] for row in rows}) > 1}


def profile_figure(selection: Selection, name: str, rows: Sequence[Row], size: tuple[float, float] | None = None) -> Figure:
    """Return D above, and below it the square roots of the largest and of the smallest eigenvalue, of each layer and image.

    Args:
        selection: that the rows are of.
        name: of the network, for the title.
        rows: of `networks`.
        size: inches.
    """
    return charts_figure(profile_charts(selection, name, rows), size or (7.4, 5.6), (1, 1.2))


def profile_charts(selection: Selection, name: str, rows: Sequence[Row]) -> tuple[Chart, Chart]:
    """Return the two charts of `profile_figure`."""
    layers = list(dict.fromkeys(row["layer"] or "output" for row in rows))
    names = Axis(
        "layer", -0.5, len(layers) - 0.5, tuple((float(at), text) for at, text in enumerate(shortened_apart(layers, 16))), names=True
    )
    images = [image for image in selection.images if any(selection.labels[row["id"]].image == image for row in rows)]
    title = "   ".join(part for part in (name, selection.settings_in_common) if part)
    at = {row["id"]: _across(selection, row, layers, images) for row in rows}
    separations = [mark for row in rows if (mark := _separation(selection, row, at[row["id"]])) is not None]
    ends = [mark for row in rows for end in ("top", "bottom") if (mark := _sensitivity(selection, row, end, at[row["id"]])) is not None]
    values = [bound for mark in ends for bound in (mark.span or (mark.y / 10,)) + (mark.y,) if bound > 0] or [1.0]
    most = max((mark.span[1] if mark.span else mark.y for mark in separations), default=1.0)
    short = shortened_apart(selection.images, KEY_LETTERS)
    keys = tuple((f"m{i}", i, short[i]) for i, image in enumerate(selection.images) if image in images)
    few = len(selection.images) <= MOST_IMAGES
    above = Chart(
        title=title, label=f"D of the layers of {name}", x=replace(names, label=""), y=linear_axis("D", most, 5, _ROOM),
        marks=tuple(separations),
        lines=_lines(separations), legend=keys if few else (),
    )  # fmt: skip
    below = Chart(
        title="\u221a\u03bb\u2081 (orange) and \u221a\u03bb\u2099 (blue)", label=f"sensitivities of the layers of {name}", x=names,
        y=log_axis("\u221a\u03bb  (response / pixel)", values), marks=tuple(ends), lines=_lines(ends),
    )  # fmt: skip
    return above, below


def _separation(selection: Selection, row: Row, at: float) -> Mark | None:
    y, place = shown(row), _place(selection, row)
    if y is None:
        return None
    bounded = row["D"] is None
    return Mark(
        at, y, f"m{place}" if place < MOST_IMAGES else "other", str(selection.labels[row["id"]]), place % MOST_IMAGES,
        limit="at least" if bounded else "", span=None if bounded else (row["D_low"], row["D_high"]), hollow=not row["verified"],
    )  # fmt: skip


def _sensitivity(selection: Selection, row: Row, end: str, at: float) -> Mark | None:
    """Return the mark of sqrt(lambda) of an end: its value, or its upper bound where it may be zero."""
    value, low, high = row[end], row[f"{end}_low"], row[f"{end}_high"]
    known = bool(value and value > 0 and low and low > 0 and high)
    if not known and not high:
        return None
    text = eigenvalue_text(value, (low, high), row[f"evidence_{end}"], form="long", typeset=True)
    return Mark(
        at, (value if known else high) ** 0.5, end, f"{selection.labels[row['id']]}: \u03bb {text}", _place(selection, row) % MOST_IMAGES,
        limit="" if known else "at most", span=(low**0.5, high**0.5) if known else None, hollow=row[f"evidence_{end}"] not in VERIFIED,
    )  # fmt: skip


def _across(selection: Selection, row: Row, layers: Sequence[str], images: Sequence[str]) -> float:
    """Return a mark's place: its layer, and beside each other the images."""
    image = images.index(selection.labels[row["id"]].image)
    return layers.index(row["layer"] or "output") + dodge(image, len(images), _DODGE)


def _place(selection: Selection, row: Row) -> int:
    return selection.images.index(selection.labels[row["id"]].image)


def _lines(marks: Sequence[Mark]) -> tuple[Line, ...]:
    """Return a thin line through the neighbouring layers' values of each image and end; bounds are not joined."""
    found: dict[tuple[str, int], list[Mark]] = {}
    for mark in marks:
        found.setdefault((mark.role, mark.shape), []).append(mark)
    lines = []
    for (role, _), own in found.items():
        for one, other in pairwise(own):
            if not one.limit and not other.limit and round(other.x - one.x, 3) == 1:
                lines.append(Line(((one.x, one.y), (other.x, other.y)), role, minor=True))
    return tuple(lines)
