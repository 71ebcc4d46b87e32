"""Image files as float64 arrays in [0, 1], with the full bit depth of the file."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps

from eigexp.errors import ImageError
from eigexp.images.png import sound_png

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm", ".bmp", ".webp"})
_PNM_HEADER = re.compile(rb"P([56])(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s")
MAX_PIXELS = 100_000_000
_FORMATS = ("PNG", "JPEG", "TIFF", "PPM", "BMP", "WEBP")  # of Pillow's; some others, such as EPS, run a program
_AS_THEY_ARE = ("L", "LA", "RGB", "RGBA", "F", "I", "I;16", "I;16B", "I;16L", "1")
_WHITE_IS_ZERO = 0
_TIFF_COLOURS = (_WHITE_IS_ZERO, 1, 2)  # photometric interpretations whose values are grey or RGB: TIFF 6.0, section 3


def read_image(path: Path, max_pixels: int = MAX_PIXELS) -> NDArray[np.float64]:
    """Return the pixels of an image file, shape (h, w, c) with c = 1 or 3, float64, scaled to [0, 1] by the range of the file's dtype.

    An opacity channel is dropped, a palette and CMYK become RGB, and a photograph is rotated as its EXIF tag says.

    Args:
        path: of the file.
        max_pixels: largest height times width, checked before decoding: a small file may contain an image that fills the memory.

    Raises:
        ImageError: if the file is missing, broken, too large, of several pages or frames, or holds values that have no range (signed, or
            outside [0, 1]).
    """
    if not path.is_file():
        raise ImageError(f"There is no image file at {path}. Give the path of an existing PNG, JPEG, TIFF or PGM file.")
    try:
        return drop_opacity(to_unit_range(_read(path, max_pixels), path.name), path.name)
    except ImageError:
        raise
    except Exception as error:  # readers raise many kinds on a damaged file
        what = " ".join(str(error).split())[:200]
        raise ImageError(f"{path} cannot be read as an image ({type(error).__name__}: {what}). Check or replace the file.") from error


def to_unit_range(array: NDArray, name: str) -> NDArray[np.float64]:
    """Return pixels as float64 in [0, 1]: unsigned integers over their dtype's largest value, booleans as 0 and 1, floats as they are.

    Raises:
        ImageError: if the dtype is signed or complex, or a float lies outside [0, 1] or is NaN.
    """
    if array.dtype == bool:
        return array.astype(np.float64)
    if np.issubdtype(array.dtype, np.unsignedinteger):
        return array / np.float64(np.iinfo(array.dtype).max)
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(f"{name}: pixels of dtype {array.dtype} have no known range. Save the image as uint8, uint16 or float in [0, 1].")
    if not np.isfinite(array).all():
        raise ImageError(
            f"{name}: {int((~np.isfinite(array)).sum())} pixel values are NaN or infinite. Replace them before the image is used."
        )
    if array.min() < 0 or array.max() > 1:
        found = f"[{array.min():g}, {array.max():g}]"
        raise ImageError(f"{name}: float pixel values lie in {found}, not in [0, 1]. Rescale them, or save the image as unsigned integers.")
    return array.astype(np.float64)


def drop_opacity(array: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Return pixels (h, w) or (h, w, c) as (h, w, 1) or (h, w, 3), without an opacity channel.

    Raises:
        ImageError: if there are not one to four channels.
    """
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or array.size == 0:
        raise ImageError(
            f"{name}: an array of shape {array.shape} is not one grey or colour image. Save a single page with 1 or 3 channels."
        )
    return array[:, :, : 1 if array.shape[2] <= 2 else 3]


def _read(path: Path, max_pixels: int) -> NDArray:
    if path.suffix.lower() in (".tif", ".tiff"):
        return _read_tiff(path, max_pixels)
    with path.open("rb") as file:
        head = file.read(32)
    if head.startswith((b"P5", b"P6")):
        return _read_pnm(path, max_pixels)
    if head.startswith(b"\x89PNG") and head[24:26] in (b"\x10\x02", b"\x10\x04", b"\x10\x06"):
        return _read_deep_png(path, max_pixels)
    return _read_with_pillow(path, max_pixels)


def _check_size(path: Path, height: int, width: int, max_pixels: int) -> None:
    if height * width > max_pixels:
        raise ImageError(
            f"{path} has {width}x{height} pixels, more than images.max_pixels={max_pixels:,}. Reduce the image, or set images.max_pixels."
        )


def _check_single(path: Path, count: int, what: str) -> None:
    if count > 1:
        raise ImageError(f"{path} holds {count} {what}. Save the one that you need as a separate file.")


def _read_with_pillow(path: Path, max_pixels: int) -> NDArray:
    with _without_pillows_limit(), PillowImage.open(path, formats=_FORMATS) as opened:
        _check_size(path, opened.height, opened.width, max_pixels)
        _check_single(path, getattr(opened, "n_frames", 1), "frames")
        upright = ImageOps.exif_transpose(opened)
        return pillow_array(upright)


def pillow_array(image: PillowImage.Image) -> NDArray:
    """Return the pixels of a Pillow image at their own depth; a palette and CMYK become RGB."""
    return np.asarray(image if image.mode in _AS_THEY_ARE else image.convert("RGBA" if "A" in image.getbands() else "RGB"))


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Lift Pillow's own limit, which warns and cannot be set for one file; the size is checked before anything is decoded."""
    before, PillowImage.MAX_IMAGE_PIXELS = PillowImage.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        PillowImage.MAX_IMAGE_PIXELS = before


def _read_tiff(path: Path, max_pixels: int) -> NDArray:
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it logs every tag of a damaged file; the error says enough
    with tifffile.TiffFile(path) as file:
        _check_single(path, len(file.series), "images")
        shape = file.series[0].shape if file.series else (0,)
        if len(shape) > 3 or (len(shape) == 3 and not {shape[0], shape[2]} & {1, 2, 3, 4}):
            raise ImageError(
                f"{path} holds an array of shape {shape}, which is not one grey or colour image. Save a single page with 1 or 3 channels."
            )
        sides = sorted(shape)[-2:]
        _check_size(path, sides[0], sides[-1], max_pixels)
        if (colours := int(file.pages.first.photometric)) not in _TIFF_COLOURS:  # a palette, CMYK, YCbCr
            return _read_with_pillow(path, max_pixels)
        array = file.asarray()
    if colours == _WHITE_IS_ZERO and array.dtype.kind in "bu":
        array = np.invert(array)
    if array.ndim == 3 and array.shape[0] in (3, 4) and array.shape[2] not in (3, 4):
        array = np.moveaxis(array, 0, -1)  # one plane a colour
    return array


def _read_deep_png(path: Path, max_pixels: int) -> NDArray:
    """Read colour or opacity with 16 bits, which Pillow would reduce to 8."""
    try:
        from torchvision.io import ImageReadMode, decode_image
    except ImportError as error:  # announced for a later torchvision
        raise ImageError(
            f"{path} has 16 bits per colour, and this version of torchvision cannot read such a PNG. Save it as a TIFF."
        ) from error
    content = sound_png(path.read_bytes(), lambda height, width: _check_size(path, height, width, max_pixels))
    data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The image decoding and encoding capabilities", DeprecationWarning)
        return decode_image(data, mode=ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy()


def _read_pnm(path: Path, max_pixels: int) -> NDArray:
    """Read binary PGM and PPM, whose range is the largest value that the header names: https://netpbm.sourceforge.net/doc/pgm.html."""
    data = path.read_bytes()
    header = _PNM_HEADER.match(data)
    if header is None:
        raise ImageError(f"{path} has a damaged header. Save it again as a binary PGM or PPM.")
    kind, width, height, largest = (int(text) for text in header.groups())
    if not 0 < largest < 65536:
        raise ImageError(f"{path} has a damaged header: its largest value is {largest}. Save it again as a binary PGM or PPM.")
    _check_size(path, height, width, max_pixels)
    shape = (height, width, 3 if kind == 6 else 1)
    pixels = np.frombuffer(data, ">u2" if largest > 255 else "u1", count=int(np.prod(shape)), offset=header.end())
    return pixels.reshape(shape) / np.float64(largest)
