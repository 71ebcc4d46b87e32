"""The figure of a result: the image, its most and least noticeable distortions alone and added, error bounds and evidence."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eigexp.report.axes import draw_chart
from eigexp.report.composition import FACT_DROP, FACT_INDENT, FACT_LINE, HEADING_AT, Box, Composition, compose
from eigexp.report.panel import Channel, draw_panel
from eigexp.report.pixels import Process
from eigexp.report.style import MUTED, house_style, new_figure
from eigexp.report.view import View


def distortion_figure(
    result: Any,
    record: Mapping[str, Any] | None = None,
    curves: Sequence[Mapping[str, Any]] | None = None,
    scale: float | None = None,
    eigenindex: Sequence[int] | None = None,
    channel: Channel = None,
    process_image: Process | None = None,
) -> Figure:
    """Return the figure of one result, for `figure_png` or a notebook. It is a plain matplotlib Figure; pyplot is not involved.

    Args:
        result: a stored Result, or arrays (numpy or tensors) by the names of pairs.safetensors.
        record: of the result, where arrays are given; whatever keys there are, are used.
        curves: rows of curves.csv, where arrays are given.
        scale: the norm that every distortion is shown with, in pixel units; chosen so that they are visible by default.
        eigenindex: of the distortions to show, negative from the end; both ends by default.
        channel: of an image whose channels are not colours, the one to show, or three as red, green and blue.
        process_image: maps an image to display values in [0, 1], for example to undo a normalisation; it gets arrays of the image's shape.

    Raises:
        ConfigurationError: if an eigenindex or channel does not exist, or the scale is not positive.
    """
    return composition_figure(compose(View.of(result, record, curves), scale, eigenindex, channel, process_image))


def composition_figure(composition: Composition) -> Figure:
    """Return the figure of a composition."""
    with house_style():
        return _draw(composition)


def _draw(composition: Composition) -> Figure:
    figure = new_figure(composition.width, composition.height)
    figure.set_layout_engine("none")  # a layout that measures its texts takes as long as the drawing
    figure.suptitle(composition.heading, x=HEADING_AT[0], y=HEADING_AT[1], ha="left", parse_math=False)
    for box, panel in composition.panels:
        draw_panel(_axes(figure, box), panel)
    box, facts = composition.facts
    _draw_facts(_axes(figure, box), facts)
    for box, chart in composition.charts:
        draw_chart(_axes(figure, box), chart)
    return figure


def _axes(figure: Figure, box: Box) -> Axes:
    across, down = figure.get_size_inches()
    return figure.add_axes((box.left / across, box.bottom / down, box.width / across, box.height / down))


def _draw_facts(axes: Axes, facts: Sequence[tuple[str, str]]) -> None:
    """Write the facts of the result as aligned lines of text."""
    axes.set_axis_off()
    for i, fact in enumerate(facts):
        for x, text, colour in zip((0, FACT_INDENT), fact, (MUTED, "black"), strict=True):
            axes.annotate(text, (0, 1), (x, -FACT_DROP - i * FACT_LINE), xycoords="axes fraction", textcoords="offset points", va="top",
                          fontsize=8, color=colour, parse_math=False, annotation_clip=False)  # fmt: skip
