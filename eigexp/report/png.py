"""PNG files of grey and colour pictures, 8 or 16 bits deep (Pillow writes no 16-bit colour), after the PNG specification, third edition."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LEVEL = 6
_UP = 2  # the filter that takes the row above from each row
_COLOUR_TYPES = {1: 0, 3: 2}


def encode_png(picture: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Return a PNG file of the picture, without metadata.

    Args:
        picture: shape (h, w) or (h, w, 3), uint8 or uint16.
    """
    height, width, channels = picture.reshape(*picture.shape[:2], -1).shape
    depth = picture.dtype.itemsize
    header = struct.pack(">IIBBBBB", width, height, 8 * depth, _COLOUR_TYPES[channels], 0, 0, 0)
    rows = np.frombuffer(picture.astype(picture.dtype.newbyteorder(">")).tobytes(), np.uint8).reshape(height, -1)
    plain, filtered = _with_filter(rows, 0), _filtered(rows, channels * depth)
    # Noise: entropy coding alone, for looking for repeats takes long and finds none.
    noisy = _entropy(plain) < _entropy(filtered)
    data = _compress(plain, zlib.Z_HUFFMAN_ONLY) if noisy else _compress(filtered, zlib.Z_FILTERED)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def encode_flat_png(picture: NDArray[np.uint8], dpi: int) -> bytes:
    """Return a PNG file of a picture with large even areas, such as a figure: in a third of the time of one that weighs every filter.

    Args:
        picture: shape (h, w, 3).
        dpi: pixels of an inch.
    """
    height, width, channels = picture.shape
    rows = np.empty((height, width * channels + 1), np.uint8)
    flat = picture.reshape(height, -1)
    rows[:, 0] = _UP
    rows[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    size = struct.pack(">IIB", *[round(dpi / 0.0254)] * 2, 1)
    return SIGNATURE + b"".join(
        _chunk(*part) for part in ((b"IHDR", header), (b"pHYs", size), (b"IDAT", zlib.compress(rows.data, 1)), (b"IEND", b""))
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _entropy(content: bytes) -> float:
    """Return the bits per byte, as if bytes were independent."""
    counts = np.bincount(np.frombuffer(content, np.uint8))
    shares = counts[counts > 0] / len(content)
    return float(-(shares * np.log2(shares)).sum())


def _compress(content: bytes, strategy: int) -> bytes:
    deflate = zlib.compressobj(LEVEL, strategy=strategy)
    return deflate.compress(content) + deflate.flush()


def _with_filter(rows: NDArray[np.uint8], kind: int) -> bytes:
    return np.insert(rows, 0, kind, axis=1).tobytes()


def _filtered(rows: NDArray[np.uint8], step: int) -> bytes:
    """Return each row less its left neighbours, the row above or the mean of both, whichever leaves the smallest sum of magnitudes."""
    left = np.zeros_like(rows)
    left[:, step:] = rows[:, :-step]
    above = np.zeros_like(rows)
    above[1:] = rows[:-1]
    mean = ((left.astype(np.uint16) + above) // 2).astype(np.uint8)
    candidates = np.stack([rows, rows - left, rows - above, rows - mean])
    best = np.abs(candidates.view(np.int8).astype(np.int16)).sum(axis=2).argmin(axis=0)
    chosen = candidates[best, np.arange(len(rows))]
    return np.concatenate([best[:, None].astype(np.uint8), chosen], axis=1).tobytes()
