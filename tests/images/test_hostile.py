"""An image file of somebody else is read, or refused in one line: no program is started, no process ends, no memory is filled."""

import io
import random
import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from eigexp.errors import ImageError
from eigexp.images import ImageFile
from eigexp.images.png import sound_png
from eigexp.images.reading import read_image

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(/tmp/eigexp-ran) (w) file closefile\nshowpage\n"


def deep_png(pixels: np.ndarray, filters: bytes | None = None) -> bytes:
    """A PNG of 16 bits, written by hand: (h, w, 2 | 3 | 4) uint16, rows unfiltered."""
    h, w, channels = pixels.shape
    rows = b"".join((filters or bytes(h))[i : i + 1] + pixels[i].astype(">u2").tobytes() for i in range(h))
    head = struct.pack(">IIBBBBB", w, h, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return png_of([(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])


def png_of(parts: list[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def write(tmp_path: Path, content: bytes, name: str = "x.png") -> Path:
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


PIXELS = np.random.default_rng(0).integers(0, 65536, (7, 5, 3)).astype(np.uint16)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_deep_colours_keep_every_bit(tmp_path, channels):
    pixels = np.random.default_rng(1).integers(0, 65536, (7, 5, channels)).astype(np.uint16)
    found = read_image(write(tmp_path, deep_png(pixels)))
    assert np.array_equal(found * 65535, pixels[:, :, : 1 if channels == 2 else 3])


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.bmp"])
def test_postscript_under_another_name_is_not_run(tmp_path, name, monkeypatch):
    monkeypatch.setattr("subprocess.Popen.__init__", lambda *args, **more: pytest.fail("a program was started"))
    with pytest.raises(ImageError, match=r"cannot be read as an image .*Check or replace the file"):
        read_image(write(tmp_path, EPS, name))


def test_an_animation_is_refused_with_the_number_of_frames(tmp_path):
    frames = [PillowImage.fromarray(np.full((8, 8), value, np.uint8)) for value in (0, 100, 200)]
    for name in ("x.png", "x.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(ImageError, match=r"holds 3 frames\. Save the one that you need"):
            read_image(tmp_path / name)


def test_many_pages_are_refused(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        for size in (8, 9):
            file.write(np.zeros((size, size), np.uint8))
    with pytest.raises(ImageError, match="holds 2 images"):
        read_image(tmp_path / "x.tif")


def header_only(kind: str) -> bytes:
    """A file of a few hundred bytes that says that it has 10^10 pixels."""
    side = 100_000
    if kind in ("png", "deep.png"):
        rows = zlib.compress(bytes(1000))
        head = struct.pack(">IIBBBBB", side, side, 16 if kind == "deep.png" else 8, 2, 0, 0, 0)
        return png_of([(b"IHDR", head), (b"IDAT", rows), (b"IEND", b"")])
    if kind == "pgm":
        return b"P5 %d %d 255\n" % (side, side)
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 1000, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(900)


@pytest.mark.parametrize("kind", ["png", "deep.png", "pgm", "bmp"])
def test_the_size_is_checked_before_a_pixel_is_decoded(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("zlib.decompressobj", lambda *args: pytest.fail("it was decoded"))
    path = write(tmp_path, header_only(kind), f"x.{kind}")
    with pytest.raises(ImageError, match=r"has 100000x100000 pixels, more than images\.max_pixels=100,000,000\. Reduce the image, or set"):
        read_image(path)


def test_a_large_tiff_is_refused_before_it_is_decoded(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((64, 64), np.uint8))
    with pytest.raises(ImageError, match=r"has 64x64 pixels, more than images\.max_pixels=4,000"):
        ImageFile(tmp_path / "x.tif", max_pixels=4000)[0]
    assert ImageFile(tmp_path / "x.tif", max_pixels=4096)[0].pixels.shape == (1, 64, 64)


def test_data_that_unpack_to_more_than_the_header_says_do_not_fill_the_memory():
    head = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    bomb = png_of([(b"IHDR", head), (b"IDAT", zlib.compress(bytes(50_000_000))), (b"IEND", b"")])
    with pytest.raises(ValueError, match="more bytes than its header says"):
        sound_png(bomb, lambda height, width: None)


def broken(content: bytes, rng: random.Random) -> bytes:
    """A file with some bytes changed, cut out or doubled; half of the time with checksums that fit again."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(8, len(changed))
        match rng.randrange(4):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at : at + rng.randrange(1, 20)]
            case 2:
                changed[at:at] = rng.randbytes(rng.randrange(1, 20))
            case _:
                changed[at : at + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"))
    return bytes(changed)


def resealed(content: bytes, rng: random.Random) -> bytes:
    """A deep PNG whose parts are changed and whose checksums fit: only a full check of its data finds it."""
    h, w = rng.randrange(0, 9), rng.randrange(0, 9)
    rows = rng.randbytes(rng.randrange(0, 400))
    head = struct.pack(">IIBBBBB", w, h, rng.choice((16, 16, 16, 8, 1)), rng.choice((2, 2, 4, 6, 0, 3)), 0, 0, rng.choice((0, 0, 0, 1)))
    data = zlib.compress(rows)
    parts = [(b"IHDR", head), (b"PLTE", rng.randbytes(9)), (b"IDAT", data[: rng.choice((None, None, 5))]), (b"IEND", b"")]
    return png_of(parts if rng.random() < 0.5 else [parts[0], *parts[2:]])


@cache
def originals() -> dict[str, bytes]:
    """Small sound files by format."""
    found = {"deep.png": deep_png(PIXELS), "p.pgm": b"P5 5 7 65535\n" + PIXELS[:, :, 0].astype(">u2").tobytes()}
    for name, form in {"x.png": "PNG", "x.jpg": "JPEG", "x.bmp": "BMP", "x.webp": "WEBP", "x.tif": "TIFF"}.items():
        content = io.BytesIO()
        PillowImage.fromarray((PIXELS >> 8).astype(np.uint8)).save(content, form)
        found[name] = content.getvalue()
    return found


def spoiled(name: str, content: bytes, rng: random.Random) -> bytes:
    """A damaged file of a format."""
    return resealed(content, rng) if name == "deep.png" and rng.random() < 0.5 else broken(content, rng)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_read_or_refused(tmp_path, seed):
    """Without the checks, torchvision ends the process on some of these with a segmentation fault."""
    rng = random.Random(seed)
    for _ in range(12):
        for name, content in originals().items():
            try:
                pixels = read_image(write(tmp_path, spoiled(name, content, rng), f"damaged.{name}"))
                assert pixels.ndim == 3 and pixels.min() >= 0 and pixels.max() <= 1
            except ImageError as error:
                assert "\n" not in str(error)
