"""PNG files hold the pixels bit for bit, read by somebody else's reader."""

import io

import numpy as np
import pytest
from PIL import Image as PillowImage
from skimage.io import imread

from eigexp.report.png import encode_flat_png, encode_png


@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 3), (1, 1), (64, 64, 3)])
def test_eight_bits(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert np.array_equal(np.asarray(PillowImage.open(io.BytesIO(encode_png(picture)))), picture)


def test_a_figure_holds_every_pixel_and_its_resolution():
    picture = np.random.default_rng(0).integers(0, 256, (9, 6, 4), np.uint8)[..., :3]
    read = PillowImage.open(io.BytesIO(encode_flat_png(picture, 150)))
    assert np.array_equal(np.asarray(read), picture) and read.info["dpi"] == pytest.approx((150, 150), abs=0.02)


def test_sixteen_bits_grey():
    picture = np.random.default_rng(0).integers(0, 65536, (7, 5), np.uint16)
    assert np.array_equal(np.asarray(PillowImage.open(io.BytesIO(encode_png(picture)))).astype(np.uint16), picture)


def test_sixteen_bits_colour(tmp_path):
    """Pillow reads no 16-bit colour, so the chunks are unpacked here: the picture is smooth, so that filters are in use."""
    import struct
    import zlib

    picture = (np.add.outer(np.arange(9), np.arange(8))[..., None] * [300, 500, 700]).astype(np.uint16)
    content = encode_png(picture)
    assert struct.unpack(">IIBB", content[16:26]) == (8, 9, 16, 2)
    length = struct.unpack(">I", content[33:37])[0]
    raw = np.frombuffer(zlib.decompress(content[41 : 41 + length]), np.uint8).reshape(9, -1)
    rows = np.zeros((9, 48), np.uint8)
    for i, line in enumerate(raw):
        above = rows[i - 1] if i else np.zeros(48, np.uint8)
        for j in range(48):
            left = int(rows[i, j - 6]) if j >= 6 else 0
            rows[i, j] = (int(line[1 + j]) + {0: 0, 1: left, 2: int(above[j]), 3: (left + int(above[j])) // 2}[int(line[0])]) % 256
    assert np.array_equal(rows.view(">u2").reshape(9, 8, 3), picture)


def test_smooth_pictures_are_small(tmp_path):
    y, x = np.mgrid[0:128, 0:128]
    picture = (128 + 60 * np.sin(x / 17) + 60 * np.cos(y / 23)).astype(np.uint8)
    path = tmp_path / "x.png"
    path.write_bytes(encode_png(picture))
    assert path.stat().st_size < picture.size / 4
    assert np.array_equal(imread(path), picture)
