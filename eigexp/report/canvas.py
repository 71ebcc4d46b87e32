"""A canvas of pixels for figures that are drawn by the hundred: texts are kept, and shapes are drawn without matplotlib's artists.

Coordinates are pixels from the upper left corner.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgb
from matplotlib.path import Path as Outline
from matplotlib.transforms import Affine2D, IdentityTransform
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from eigexp.report.png import encode_flat_png

Point = tuple[float, float]
_KEPT_TEXTS = 500  # most texts are the same in every figure
_POINTS = 72  # of an inch


@dataclass(frozen=True)
class Frame:
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def centre(self) -> Point:
        """Return its middle."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


class Canvas:
    """White pixels, shape (h, w, 3), on which texts, pictures and shapes are drawn.

    Args:
        width: inches.
        height: inches.
        dpi: pixels of an inch.
    """

    def __init__(self, width: float, height: float, dpi: int):
        self.dpi, self.inches = dpi, (width, height)
        self.pixels = np.full((int(height * dpi), int(width * dpi), 3), 255, np.uint8)

    def points(self, points: float) -> float:
        """Return a length in pixels."""
        return points * self.dpi / _POINTS

    def text(
        self,
        at: Point,
        text: str,
        size: float,
        colour: str = "black",
        *,
        share: float = 0,
        bold: bool = False,
        up: bool = False,
    ) -> None:
        """Write a line of text.

        Args:
            at: a point of its baseline.
            text: in any script; glyphs that the font lacks are boxes.
            size: points.
            colour: by matplotlib's names.
            share: of the text that lies before the point: 0, 0.5 or 1.
            bold: or not.
            up: from below upwards instead of from the left.
        """
        mask, dx, dy, width = _mask(text, round(self.points(size), 2), bold)
        x, y = at
        if up:
            mask, left, top = np.rot90(mask), x + dy, y + share * width - dx - mask.shape[1]
        else:
            left, top = x - share * width + dx, y + dy
        self._blend(round(left), round(top), mask, colour)

    def text_width(self, text: str, size: float) -> float:
        """Return the width of a line of text in pixels."""
        return _mask(text, round(self.points(size), 2), False)[3]

    def picture(self, frame: Frame, picture: NDArray[np.uint8]) -> Frame:
        """Draw a picture (h, w) or (h, w, 3) as large as it fits into the middle of a frame. Return where it is."""
        high, wide = picture.shape[:2]
        factor = min((frame.right - frame.left) / wide, (frame.bottom - frame.top) / high)
        size, (x, y) = (round(factor * wide), round(factor * high)), frame.centre
        # A pixel stays a pixel; what has more of them than the frame is averaged.
        method = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BOX
        scaled = np.asarray(Image.fromarray(picture).convert("RGB").resize(size, method))
        left, top = round(x - size[0] / 2), round(y - size[1] / 2)
        self.pixels[top : top + size[1], left : left + size[0]] = scaled
        return Frame(left, top, left + size[0], top + size[1])

    def border(self, frame: Frame, points: float, colour: str) -> None:
        """Draw the edge of a frame."""
        width = max(1, round(self.points(points)))
        left, top, right, bottom = (round(side) for side in (frame.left, frame.top, frame.right, frame.bottom))
        for rows, columns in (
            ((top, top + width), (left, right)),
            ((bottom - width, bottom), (left, right)),
            ((top, bottom), (left, left + width)),
            ((top, bottom), (right - width, right)),
        ):
            self.pixels[slice(*rows), slice(*columns)] = _rgb(colour)

    def png(self) -> bytes:
        """Return the canvas as a PNG file."""
        return encode_flat_png(self.pixels, self.dpi)

    def _blend(self, left: int, top: int, mask: NDArray[np.uint8], colour: str) -> None:
        """Lay a colour over the pixels as thick as the mask says; what lies beyond the edge is cut off."""
        height, width = self.pixels.shape[:2]
        mask = mask[max(-top, 0) : max(height - top, 0), max(-left, 0) : max(width - left, 0)]
        top, left = max(top, 0), max(left, 0)
        under = self.pixels[top : top + mask.shape[0], left : left + mask.shape[1]]
        weight = mask[..., None].astype(np.uint16)
        under[:] = (under * (255 - weight) + _rgb(colour) * weight + 127) // 255


class Shapes:
    """Smooth lines and discs in a part of a canvas, drawn by matplotlib's renderer. They appear when the block ends.

    Args:
        canvas: on which.
        frame: the part; what was there is covered.
    """

    def __init__(self, canvas: Canvas, frame: Frame):
        height, width = canvas.pixels.shape[:2]
        self._canvas, self._left, self._top = canvas, max(round(frame.left), 0), max(round(frame.top), 0)
        wide, high = min(round(frame.right), width) - self._left, min(round(frame.bottom), height) - self._top
        self._renderer, self._height = RendererAgg(wide, high, canvas.dpi), high
        self._renderer.draw_path(self._pen("white", 0, 1.0), Outline.unit_rectangle(), Affine2D().scale(wide, high), (1.0, 1.0, 1.0))

    def __enter__(self) -> "Shapes":
        return self

    def __exit__(self, *error: object) -> None:
        drawn = np.asarray(self._renderer.buffer_rgba())
        part = self._canvas.pixels[self._top : self._top + drawn.shape[0], self._left : self._left + drawn.shape[1]]
        part[:] = drawn[..., :3]

    def line(
        self,
        points: Sequence[tuple[float, float]],
        colour: str,
        width: float,
        *,
        alpha: float = 1.0,
        dashes: Sequence[float] = (),
        snap: bool = False,
    ) -> None:
        """Draw a line through points.

        Args:
            points: on the canvas.
            colour: by matplotlib's names.
            width: points.
            alpha: opacity.
            dashes: lengths of dashes and gaps, in widths of the line.
            snap: to whole pixels, for lines along an axis.
        """
        pen = self._pen(colour, width, alpha)
        pen.set_snap(snap)
        pen.set_joinstyle("round")
        pen.set_capstyle("butt" if dashes or snap else "projecting")
        if dashes:
            pen.set_dashes(0, [width * length for length in dashes])
        self._renderer.draw_path(pen, Outline([self._place(point) for point in points]), IdentityTransform())

    def segments(self, segments: Sequence[tuple[Point, Point]], colour: str, width: float) -> None:
        """Draw lines along an axis, each between two points, on whole pixels; width in points."""
        if segments:
            pen = self._pen(colour, width, 1.0)
            pen.set_snap(True)
            codes = [Outline.MOVETO, Outline.LINETO] * len(segments)
            places = [self._place(point) for segment in segments for point in segment]
            self._renderer.draw_path(pen, Outline(places, codes), IdentityTransform())

    def disc(self, at: Point, diameter: float, edge: float, colour: str, face: str) -> None:
        """Draw a disc with an edge; diameter and edge in points."""
        place = Affine2D().scale(self._canvas.points(diameter) / 2).translate(*self._place(at))
        self._renderer.draw_path(self._pen(colour, edge, 1.0), Outline.unit_circle(), place, to_rgb(face))

    def _place(self, at: Point) -> Point:
        return at[0] - self._left, self._height - (at[1] - self._top)

    def _pen(self, colour: str, width: float, alpha: float) -> Any:
        pen = self._renderer.new_gc()
        pen.set_foreground(colour)
        pen.set_linewidth(width)  # points: the renderer knows the dpi
        pen.set_alpha(alpha)
        return pen


@cache
def _rgb(colour: str) -> NDArray[np.uint16]:
    return np.round(255 * np.array(to_rgb(colour))).astype(np.uint16)


@cache
def _font(size: float, bold: bool) -> ImageFont.FreeTypeFont:
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf"
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(_KEPT_TEXTS)
def _mask(text: str, size: float, bold: bool) -> tuple[NDArray[np.uint8], int, int, float]:
    """Return the opacity of a text's pixels, their place relative to its point on the baseline, and how far the text advances."""
    font = _font(size, bold)
    left, top, right, bottom = (round(side) for side in font.getbbox(text, anchor="ls"))
    image = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
    ImageDraw.Draw(image).text((-left, -top), text, fill=255, font=font, anchor="ls")
    return np.asarray(image), left, top, font.getlength(text)
