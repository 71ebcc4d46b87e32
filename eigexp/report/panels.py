"""The image and its distortions as a figure for a paper: one or two columns wide, with pictures and the necessary labels only."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from eigexp.report.composition import role_of, shown_words
from eigexp.report.panel import Channel, Panel, draw_panel
from eigexp.report.pixels import about_grey, add, as_picture, check_scale, default_scale
from eigexp.report.style import COLUMNS, house_style, new_figure
from eigexp.report.view import View
from eigexp.report.words import clipping_words
from eigexp.store.labels import distortion_name, number

TEXT = 0.66  # inches above and below a panel
SMALL = {"axes.titlesize": 7.5, "axes.labelsize": 7}


def panels_figure(
    result: Any, columns: int = 2, *, scale: float | None = None, eigenindex: Sequence[int] | None = None, channel: Channel = None
) -> Figure:
    """Return a figure of the image, and of each distortion itself about mid-grey and the image with it added, all at one norm.

    Args:
        result: a stored Result, or a View.
        columns: 1 for a column of a journal (3.35 inches; a row an end), 2 for the page's width (7 inches; both ends in one row).
        scale: the norm, in pixel units; chosen so that they are visible by default.
        eigenindex: of the distortions to show, negative from the end; both ends by default.
        channel: as in `distortion_figure`.

    Raises:
        ConfigurationError: if an eigenindex or channel does not exist, or the scale is not positive.
    """
    check_scale(scale)
    view = View.of(result)
    positions = view.positions(eigenindex)
    scale = scale or default_scale(view.distortions[positions])
    in_a_row = 1 if columns == 1 else 2
    rows, across = -(-len(positions) // in_a_row), 1 + 2 * min(in_a_row, max(len(positions), 1))
    width = COLUMNS[columns]
    with house_style(SMALL):
        figure = new_figure(width, rows * (width / across * _aspect(view) + TEXT))
        grid = figure.add_gridspec(rows, across)
        note = "\n".join(line for line in (f"norm of the\ndistortions: {number(scale)}", shown_words(view, positions)) if line)
        draw_panel(figure.add_subplot(grid[0, 0]), Panel(view.image, "image\n", note, channel=channel))
        for at, position in enumerate(positions):
            row, column = divmod(at, in_a_row)
            places = [grid[row, 1 + 2 * column + i] for i in (0, 1)]
            _show_pair(figure, places, view, position, scale, channel)
    return figure


def clipping(view: View, scale: float, positions: Sequence[int]) -> list[tuple[str, float]]:
    """Return, for each distortion shown, its name and the share of values that leave [0, 1] when it is added at this norm."""
    return [(distortion_name(int(view.eigenindex[at]), view.n), add(view.image, view.distortions[at], scale).clipped) for at in positions]


def _show_pair(figure: Figure, places: Sequence[Any], view: View, position: int, scale: float, channel: Channel) -> None:
    distortion, role = view.distortions[position], role_of(view, position)
    shown, peak = about_grey(distortion)
    if as_picture(shown, channel) is None:
        shown = scale * distortion
    title = f"{distortion_name(int(view.eigenindex[position]), view.n)}\n{view.eigenvalue_text(position, symbol='λ')}"
    note = f"grey = 0, black\nand white = \u00b1{number(peak * scale, 2)}"
    draw_panel(figure.add_subplot(places[0]), Panel(shown, title, note, role, channel))
    total = add(view.image, distortion, scale)
    draw_panel(figure.add_subplot(places[1]), Panel(total.values, "added\n", clipping_words(total.clipped), role, channel, view.image))


def _aspect(view: View) -> float:
    return 0.8 if as_picture(view.image) is None else min(max(view.image.shape[-2] / view.image.shape[-1], 0.4), 2.0)
