"""A picture or a signal as plain data, and its painter for figures: titles, notes and borders are decided here, once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from eigexp.report.pixels import as_picture
from eigexp.report.style import BOTTOM, MUTED, TOP

Channel = int | Sequence[int] | None
BORDER = 0.6  # points: a constant distortion must not vanish on white paper
COLOURS = {"top": TOP, "bottom": BOTTOM, "image": "black"}


@dataclass(frozen=True, eq=False)
class Panel:
    """One panel of a figure.

    Attributes:
        values: the array, shape (c, h, w) or a signal's.
        title: above it.
        note: below it.
        role: "image", or the end "top" or "bottom" whose distortion it shows, which chooses its colour.
        channel: to show of an image whose channels are not colours, or three as red, green and blue.
        under: of a signal, another that is drawn as a thin line behind it.
    """

    values: NDArray[Any]
    title: str
    note: str = ""
    role: str = "image"
    channel: Channel = None
    under: NDArray[Any] | None = None


def draw_panel(axes: Axes, panel: Panel) -> None:
    """Draw a panel: a picture with a border, or a line for a signal."""
    colour = COLOURS[panel.role]
    axes.set_title(panel.title, color=colour, parse_math=False)
    axes.set_xlabel(panel.note, color=MUTED, fontsize=8, labelpad=4)
    axes.grid(visible=False)
    picture = as_picture(panel.values, panel.channel)
    if picture is not None:
        axes.imshow(np.clip(picture, 0, 1), vmin=0, vmax=1, aspect="equal")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=True, linewidth=BORDER, color=MUTED if panel.role == "image" else colour)
        return
    signal = panel.values.reshape(-1)
    if panel.under is not None:
        axes.plot(panel.under.reshape(-1), color="#BBBBBB", linewidth=0.8)
    axes.plot(signal, color=colour, linewidth=0.9, marker="o" if signal.size == 1 else None)
    axes.margins(x=0.01)
