"""Grid of the most and the least noticeable distortions: rows are models and layers, columns are images (as in Berardino et al. 2017)."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from eigexp.report.panel import BORDER
from eigexp.report.pixels import about_grey, add, as_picture
from eigexp.report.style import BOTTOM, COLUMNS, TOP, house_style, new_figure
from eigexp.report.view import View
from eigexp.report.words import shortened, wrapped
from eigexp.store.labels import number
from eigexp.store.selection import Selection

_LEAST_SIDE = 0.3  # inches of a picture, below which images go to a further block
_GAP, _EDGE = 0.05, 0.06
_LINE = 0.09  # inches of a line below a picture
_LEAST_SIZE = 5.0  # points, below which an interval is broken into two lines
_TOP = 0.42  # inches for the title
_HEAD = 0.42  # inches above a block, for the image's name and the ends
_LETTER = 0.062  # inches of a letter at 7 points
_ENDS = (("top", 0, TOP, "most"), ("bottom", -1, BOTTOM, "least"))


_Cells = Mapping[tuple[str, str], View]


@dataclass(frozen=True)
class _Layout:
    """Where things of a grid lie, in inches from the upper left corner."""

    blocks: list[tuple[list[str], list[str]]]  # images across, and the rows that have any of them
    width: float
    indent: float
    side: float
    aspect: float
    lines: int  # below a picture

    @classmethod
    def of(cls, cells: _Cells, rows: list[str], images: list[str], columns: int, aspect: float) -> "_Layout":
        width, indent = COLUMNS[columns], 0.85 if columns == 1 else 1.25
        across = max(1, min(len(images), int((width - indent) / (2 * _LEAST_SIDE + 3 * _GAP))))
        side = min((width - indent - _EDGE) / (2 * across) - 1.5 * _GAP, 1.4)
        parts = [images[i : i + across] for i in range(0, len(images), across)]
        blocks = [(part, [row for row in rows if any((row, image) in cells for image in part)]) for part in parts]
        lines = max((_below(view, at, side)[0].count("\n") + 1 for view in cells.values() for *_, at in _ends(view)), default=1)
        return cls(blocks, width, indent, side, aspect, lines)

    @property
    def picture(self) -> tuple[float, float]:
        return self.side, self.side * self.aspect

    @property
    def step(self) -> float:
        return self.side * self.aspect + 0.06 + self.lines * _LINE

    @property
    def height(self) -> float:
        return self.block(len(self.blocks)) + _EDGE

    def block(self, at: int) -> float:
        return _TOP + sum(_HEAD + len(rows) * self.step for _, rows in self.blocks[:at])

    def column(self, at: int) -> float:
        return self.indent + at * 2 * (self.side + 1.5 * _GAP)


def grid_figure(selection: Selection, views: Mapping[str, View], columns: int = 2, *, scale: float | None = None) -> Figure:
    """Return the grid of a selection.

    Args:
        selection: the results.
        views: of those that are pictures, by id.
        columns: 1 or 2, of a journal.
        scale: norm at which distortions are added to their images; None shows the distortions alone, about mid-grey.
    """
    cells = {(selection.labels[id].row, selection.labels[id].image): view for id, view in views.items()}
    rows, images = list(dict.fromkeys(row for row, _ in cells)), sorted({image for _, image in cells}, key=selection.images.index)
    aspect = max((view.image.shape[-2] / view.image.shape[-1] for view in views.values()), default=1.0)
    layout = _Layout.of(cells, rows, images, columns, aspect)
    with house_style():
        figure = new_figure(layout.width, layout.height)
        figure.set_layout_engine("none")
        place = _Placer(figure, layout.width, layout.height)
        place.text(_EDGE, 0.1, _title(selection, scale, columns), size=7, va="top")
        for at in range(len(layout.blocks)):
            _block(place, layout, at, cells, scale)
    return figure


def _block(place: "_Placer", layout: _Layout, at: int, cells: _Cells, scale: float | None) -> None:
    top, (images, rows) = layout.block(at), layout.blocks[at]
    for i, image in enumerate(images):
        _head(place, layout.column(i), top, image, layout.side)
    for j, row in enumerate(rows):
        y = top + _HEAD + j * layout.step
        words = wrapped(row, max(int((layout.indent - _EDGE) * 7 / (6.5 * _LETTER)), 8))
        place.text(_EDGE, y + layout.picture[1] / 2, words, size=6.5, va="center")
        for i, image in enumerate(images):
            if (row, image) in cells:
                _cell(place, cells[row, image], layout.column(i), y, layout.picture, scale)


class _Placer:
    """Puts things at inches from the upper left corner of a figure."""

    def __init__(self, figure: Figure, width: float, height: float):
        self._figure, self._width, self._height = figure, width, height

    def text(self, x: float, y: float, words: str, *, size: float, **style: Any) -> None:
        self._figure.text(x / self._width, 1 - y / self._height, words, fontsize=size, parse_math=False, **style)

    def picture(self, x: float, y: float, width: float, height: float, values: Any, colour: str) -> None:
        axes = self._figure.add_axes((x / self._width, 1 - (y + height) / self._height, width / self._width, height / self._height))
        axes.imshow(np.clip(values, 0, 1), vmin=0, vmax=1, aspect="equal", cmap="gray")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=True, color=colour, linewidth=BORDER)


def _title(selection: Selection, scale: float | None, columns: int) -> str:
    how = "distortions alone, grey = 0" if scale is None else f"distortions added at norm {number(scale)}"
    text = "; ".join(part for part in (selection.settings_in_common, how, "?: not verified") if part)
    return textwrap.fill(text, int(COLUMNS[columns] / _LETTER))


def _head(place: _Placer, x: float, y: float, image: str, side: float) -> None:
    most = max(int((2 * side + _GAP) / _LETTER), 4)
    lines = textwrap.wrap(image, most) or [""]
    place.text(x, y + 0.02, "\n".join([*lines[:1], shortened(" ".join(lines[1:]), most)]).strip(), size=7, va="top")
    for i, (*_, colour, word) in enumerate(_ENDS):
        place.text(x + i * (side + _GAP), y + _HEAD - 0.04, word, size=6, va="bottom", color=colour)


def _ends(view: View) -> list[tuple[int, str, int]]:
    """Return column, colour and position of each end that a result has."""
    found = [(i, colour, view.position(index)) for i, (_, index, colour, _) in enumerate(_ENDS)]
    return [(i, colour, at) for i, colour, at in found if at is not None]


def _below(view: View, at: int, side: float) -> tuple[str, float]:
    """Return the eigenvalue's text and its size in points; an interval too long for one line takes two."""
    text = view.eigenvalue_text(at, digits=2)
    if _size(text, side) < _LEAST_SIZE:
        text = text.replace(", ", ",\n")
    return text, _size(max(text.split("\n"), key=len), side)


def _size(text: str, side: float) -> float:
    return min(6.0, side * 72 / (0.58 * max(len(text), 1)))


def _cell(place: _Placer, view: View, x: float, y: float, picture: tuple[float, float], scale: float | None) -> None:
    side, height = picture
    for i, colour, at in _ends(view):
        left = x + i * (side + _GAP)
        distortion = view.distortions[at]
        values = about_grey(distortion)[0] if scale is None else add(view.image, distortion, scale).values
        place.picture(left, y, side, height, as_picture(values), colour)
        text, size = _below(view, at, side)
        place.text(left + side / 2, y + height + 0.02, text, size=size, va="top", ha="center", color=colour)


def pictures_of(views: Sequence[tuple[str, View]]) -> dict[str, View]:
    """Return the views that are pictures, by id."""
    return {id: view for id, view in views if as_picture(view.image) is not None}
