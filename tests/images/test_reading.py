import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from eigexp.errors import ImageError
from eigexp.images.reading import read_image

RNG = np.random.default_rng(0)
GREY8 = RNG.integers(0, 256, (9, 7), np.uint8)
GREY16 = RNG.integers(0, 65536, (9, 7), np.uint16)
COLOUR8 = RNG.integers(0, 256, (9, 7, 3), np.uint8)
COLOUR16 = RNG.integers(0, 65536, (9, 7, 3), np.uint16)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def deep_png(pixels):
    h, w, c = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", w, h, 16, {3: 2, 4: 6, 2: 4}[c], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pnm(pixels, largest):
    kind = "P6" if pixels.ndim == 3 else "P5"
    head = f"{kind}\n# a comment\n{pixels.shape[1]} {pixels.shape[0]}\n{largest}\n".encode()
    return head + pixels.astype(">u2" if largest > 255 else "u1").tobytes()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm", ".bmp"])
def test_grey_8_bits(tmp_path, suffix):
    PillowImage.fromarray(GREY8).save(tmp_path / f"a{suffix}")
    assert np.array_equal(read_image(tmp_path / f"a{suffix}")[..., 0], GREY8 / 255)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm"])
def test_colour_8_bits(tmp_path, suffix):
    PillowImage.fromarray(COLOUR8).save(tmp_path / f"a{suffix}")
    assert np.array_equal(read_image(tmp_path / f"a{suffix}"), COLOUR8 / 255)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_16_bits(tmp_path, suffix):
    PillowImage.fromarray(GREY16).save(tmp_path / f"a{suffix}")
    assert np.array_equal(read_image(tmp_path / f"a{suffix}")[..., 0], GREY16 / 65535)


def test_colour_png_16_bits_keeps_its_depth(tmp_path):
    (tmp_path / "a.png").write_bytes(deep_png(COLOUR16))
    assert np.array_equal(read_image(tmp_path / "a.png"), COLOUR16 / 65535)


def test_colour_png_16_bits_loses_its_opacity(tmp_path):
    (tmp_path / "a.png").write_bytes(deep_png(np.dstack([COLOUR16, GREY16])))
    assert np.array_equal(read_image(tmp_path / "a.png"), COLOUR16 / 65535)


@pytest.mark.parametrize(("pixels", "largest"), [(GREY8, 255), (GREY16, 65535), (GREY16 % 1024, 1023), (COLOUR16, 65535)])
def test_pnm_by_the_largest_value_of_its_header(tmp_path, pixels, largest):
    (tmp_path / "a.pnm").write_bytes(pnm(pixels, largest))
    assert np.array_equal(read_image(tmp_path / "a.pnm").squeeze(), pixels / largest)


def test_tiff_16_bits_colour_and_float(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", COLOUR16, photometric="rgb")
    assert np.array_equal(read_image(tmp_path / "a.tif"), COLOUR16 / 65535)
    planes = np.ascontiguousarray(np.moveaxis(COLOUR16, -1, 0))
    tifffile.imwrite(tmp_path / "c.tif", planes, photometric="rgb", planarconfig="separate")
    assert np.array_equal(read_image(tmp_path / "c.tif"), COLOUR16 / 65535)
    floats = (GREY8 / 255).astype(np.float32)
    tifffile.imwrite(tmp_path / "b.tif", floats)
    assert np.array_equal(read_image(tmp_path / "b.tif")[..., 0], floats)


def test_jpeg_is_read_and_turned_upright(tmp_path):
    smooth = np.tile(np.linspace(0, 255, 16, dtype=np.uint8), (8, 1))
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    PillowImage.fromarray(smooth).save(tmp_path / "a.jpg", exif=exif, quality=95)
    pixels = read_image(tmp_path / "a.jpg")[..., 0]
    assert pixels.shape == (16, 8) and np.abs(pixels - smooth.T / 255).max() < 0.02


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "CMYK"])
def test_other_modes_become_grey_or_colour(tmp_path, mode):
    suffix = "tif" if mode == "CMYK" else "png"
    PillowImage.fromarray(COLOUR8).convert(mode).save(tmp_path / f"a.{suffix}")
    assert read_image(tmp_path / f"a.{suffix}").shape == (9, 7, 1 if mode in ("LA", "1") else 3)


@pytest.mark.parametrize("mode", ["P", "CMYK", "YCbCr", "1", "LA"])
def test_colours_of_a_tiff_are_what_pillow_shows(tmp_path, mode):
    picture = PillowImage.fromarray(COLOUR8).convert(mode)
    picture.save(tmp_path / "a.tif")
    shown = np.asarray(picture.convert("L" if mode in ("1", "LA") else "RGB")) / 255
    assert np.array_equal(read_image(tmp_path / "a.tif"), shown if shown.ndim == 3 else shown[..., None])


@pytest.mark.parametrize("pixels", [GREY8, GREY16])
def test_a_tiff_in_which_zero_is_white(tmp_path, pixels):
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    np.testing.assert_allclose(read_image(tmp_path / "a.tif")[..., 0], 1 - pixels / np.iinfo(pixels.dtype).max, atol=1e-15)


def test_opacity_is_dropped(tmp_path):
    PillowImage.fromarray(np.dstack([COLOUR8, GREY8])).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), COLOUR8 / 255)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((4, 4), 2.0, np.float32), r"\[2, 2\], not in \[0, 1\]"),
        (np.full((4, 4), -0.5, np.float32), r"\[-0\.5, -0\.5\], not in \[0, 1\]"),
        (np.full((4, 4), np.nan, np.float32), r"16 pixel values are NaN or infinite"),
        (np.full((4, 4), np.inf, np.float32), r"16 pixel values are NaN or infinite"),
        (np.zeros((4, 4), np.int16), r"dtype int16 have no known range"),
        (np.zeros((2, 5, 4, 5), np.uint8), r"not one grey or colour image"),
    ],
)
def test_pixels_without_a_meaning_are_refused(tmp_path, pixels, message):
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
    with pytest.raises(ImageError, match=message):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".pgm"])
@pytest.mark.parametrize("content", [b"", b"nothing like an image", b"P5\n"])
def test_a_broken_file_is_told(tmp_path, suffix, content):
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(ImageError, match=rf"a\{suffix} (cannot be read as an image|has a damaged header).*"):
        read_image(tmp_path / f"a{suffix}")


def test_a_cut_file_is_told(tmp_path):
    PillowImage.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match="cannot be read"):
        read_image(tmp_path / "a.png")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ImageError, match=r"no image file at .*nowhere\.png"):
        read_image(tmp_path / "nowhere.png")
