"""Pictures small enough to embed in a page: photographs, and distortions with as many grey levels as a number of bytes allows."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from eigexp.report.pixels import as_picture, to_bytes
from eigexp.report.png import encode_png

LONGEST_SIDE, SHORTEST_SIDE = 384, 64
BYTES_PER_PIXEL = 0.45  # of a distortion that is noise, with 15 grey levels on either side of zero
GREY = 128
STEPS = (127, 63, 31, 15, 7, 4, 3, 2)  # on either side of zero
JPEG_QUALITIES = (90, 75, 50, 25)


@dataclass(frozen=True)
class Embedded:
    """A distortion for a page: bytes v stand for (v - 128) / 127 * peak.

    Attributes:
        uri: a PNG as a data URI.
        peak: largest magnitude of the picture that is shown, of a distortion of unit norm.
        steps: grey levels on either side of zero.
        size: of the PNG, in bytes.
    """

    uri: str
    peak: float
    steps: int
    size: int


def longest_side(count: int, most_bytes: int) -> int:
    """Return the longest side of a number of pictures that together take about a number of bytes."""
    side = (most_bytes / max(count, 1) / BYTES_PER_PIXEL) ** 0.5
    return int(min(max(side, SHORTEST_SIDE), LONGEST_SIDE))


def reduction(shape: tuple[int, ...], side: int = LONGEST_SIDE) -> int:
    """Return by how much a picture is averaged down to be at most `side` long."""
    return max(1, -(-max(shape[-2:]) // side))


def embed_image(image: NDArray[Any], most_bytes: int, side: int = LONGEST_SIDE) -> str:
    """Return a photograph as a data URI: PNG where that is small enough, else JPEG as good as fits.

    Args:
        image: in [0, 1], a picture by `is_picture`.
        most_bytes: what it may take, if the lowest quality allows.
        side: at most so long.
    """
    pixels = to_bytes(_picture(image, side))
    content = encode_png(pixels)
    if len(content) <= most_bytes:
        return data_uri(content, "png")
    content = b""
    for quality in JPEG_QUALITIES:
        content = _jpeg(pixels, quality)
        if len(content) <= most_bytes:
            break
    return data_uri(content, "jpeg")


def embed_distortion(distortion: NDArray[Any], most_bytes: int, side: int = LONGEST_SIDE) -> Embedded:
    """Return a distortion about mid-grey as a PNG within a number of bytes: smooth ones keep 255 levels, noise fewer, at least five."""
    picture = _picture(distortion, side)
    peak = float(np.abs(picture).max(initial=0.0)) or 1.0
    content, used = b"", STEPS[-1]
    for steps in STEPS:
        levels = np.round(picture / peak * steps)
        content, used = encode_png(np.round(GREY + levels * (127 / steps)).astype(np.uint8)), steps
        if len(content) <= most_bytes:
            break
    return Embedded(data_uri(content, "png"), peak, used, len(content))


def embed_distortions(distortions: Sequence[NDArray[Any]], most_bytes: int, side: int = LONGEST_SIDE) -> list[Embedded]:
    """Return several distortions within a number of bytes together: what the smooth ones leave goes to the others."""
    share = most_bytes // max(len(distortions), 1)
    first = [embed_distortion(distortion, share, side) for distortion in distortions]
    coarse = [found for found in first if found.steps < STEPS[0]]
    spare = most_bytes - sum(found.size for found in first)
    if not coarse or len(coarse) == len(first):
        return first
    return [
        embed_distortion(distortion, found.size + spare // len(coarse), side) if found.steps < STEPS[0] else found
        for distortion, found in zip(distortions, first, strict=True)
    ]


def data_uri(content: bytes, kind: str) -> str:
    """Return the bytes of a picture as a URI that carries them."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def _picture(values: NDArray[Any], side: int) -> NDArray[np.float64]:
    """Return a picture averaged down linearly, so that the image plus a distortion looks as it would from further away."""
    picture = as_picture(values)
    assert picture is not None
    by = reduction(values.shape, side)
    height, width = (side // by * by for side in picture.shape[:2])
    blocks = picture[:height, :width].astype(np.float64).reshape(height // by, by, width // by, by, *picture.shape[2:])
    return blocks.mean(axis=(1, 3))
