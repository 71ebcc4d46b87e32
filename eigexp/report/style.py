"""The style of all figures, and figures without pyplot's global state: made, and turned into PNG, on any thread."""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.resources import as_file, files
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from eigexp.report.png import encode_flat_png

TOP = "#D55E00"
BOTTOM = "#0072B2"
MUTED = "#666666"
COLUMNS = {1: 3.35, 2: 7.0}  # inches: a column of a journal, and the page's width
_UNDATED: dict[str, dict[str, str | None]] = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
FORMATS = tuple(_UNDATED)
PALETTE = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


@contextmanager
def house_style(more: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Set matplotlib for eigexp's figures, and `more` of a figure's own, for as long as the block lasts."""
    with matplotlib.rc_context({**_settings(), **(more or {})}):  # pyright: ignore[reportArgumentType]
        yield


class ShownFigure(Figure):
    """A figure that a notebook shows as it is, without pyplot."""

    def _repr_png_(self) -> bytes:
        return figure_png(self)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches, unknown to pyplot. Call it, and draw, within `house_style`."""
    figure = ShownFigure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def figure_png(figure: Figure, dpi: int = 150) -> bytes:
    """Return the figure as the bytes of a PNG file. Equal figures give equal bytes."""
    return figure_bytes(figure, "png", dpi)


def figure_bytes(figure: Figure, form: str, dpi: int = 300) -> bytes:
    """Return the figure as the bytes of a file. The same figure gives the same bytes.

    Args:
        figure: made within `house_style`.
        form: "png", "pdf" or "svg".
        dpi: of PNG, and of pictures that a vector file cannot hold as they are.
    """
    content = io.BytesIO()
    with house_style(), warnings.catch_warnings():
        # A name in a script that the font lacks shows as boxes in the picture: no reason to fail a result.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        if form == "png":
            return _draw_png(figure, dpi)
        figure.savefig(content, format=form, dpi=dpi, metadata=_UNDATED[form])
    return content.getvalue()


def _draw_png(figure: Figure, dpi: int) -> bytes:
    """Return a PNG of the size that `savefig` gives, in less than half its time.

    It is drawn once, not a second time to know the layout; and it is RGB, which needs less compression for the same number of bytes.
    """
    before, figure.dpi = figure.dpi, dpi
    try:
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return encode_flat_png(np.asarray(canvas.buffer_rgba())[..., :3], dpi)
    finally:
        figure.dpi = before


@cache
def _settings() -> dict[str, Any]:
    with as_file(files("eigexp.report") / "style.mplstyle") as path:
        return {str(key): value for key, value in matplotlib.rc_params_from_file(path, use_default_template=False).items()}
