"""16-bit PNG files, checked completely before a decoder in C reads them: torchvision's decoder can crash the process on a damaged file.

Structure and filters follow the specification, https://www.w3.org/TR/png-3/, sections 5 and 9.
"""

import struct
import zlib
from collections.abc import Callable, Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {2: 3, 4: 2, 6: 4}  # by colour type: RGB, grey with opacity, RGB with opacity
_MOST_FILTER = 4


def sound_png(content: bytes, check_size: Callable[[int, int], None]) -> bytes:
    """Return a 16-bit PNG with the same pixels and nothing else: header, data, end.

    Args:
        content: of the file.
        check_size: called with height and width before anything is decompressed; raises if they are too large.

    Raises:
        ValueError: if a checksum, the order of its parts, or the length or a filter of its data is wrong, or it is interlaced.
    """
    chunks = list(_chunks(content))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise ValueError("it does not begin with a header")
    width, height, depth, colour, compression, filters, interlace = struct.unpack(">IIBBBBB", chunks[0][1])
    if depth != 16 or colour not in _CHANNELS or compression or filters or not 0 < width < 2**31 or not 0 < height < 2**31:
        raise ValueError("its header is damaged")
    if interlace:
        raise ValueError("it is interlaced: save it without interlacing")
    check_size(height, width)
    row = 1 + 2 * _CHANNELS[colour] * width
    pixels = _decompressed(b"".join(data for name, data in chunks if name == b"IDAT"), row * height)
    if max(pixels[::row]) > _MOST_FILTER:
        raise ValueError("its data have an unknown filter")
    parts = [(b"IHDR", chunks[0][1]), (b"IDAT", zlib.compress(pixels, 1)), (b"IEND", b"")]
    return _SIGNATURE + b"".join(_chunk(name, data) for name, data in parts)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(content):
        head = content[at : at + 8]
        if len(head) < 8:
            raise ValueError("it is cut off")
        length, name = struct.unpack(">I4s", head)
        data, checksum = content[at + 8 : at + 8 + length], content[at + 8 + length : at + 12 + length]
        if len(data) < length or len(checksum) < 4 or struct.unpack(">I", checksum)[0] != zlib.crc32(name + data):
            raise ValueError(f"its part {name!r} is damaged")
        yield name, data
        at += 12 + length
        if name == b"IEND":
            return
    raise ValueError("it is cut off")


def _decompressed(data: bytes, length: int) -> bytes:
    """Return exactly this number of bytes, and never hold more in memory."""
    stream = zlib.decompressobj()
    try:
        pixels = stream.decompress(data, length + 1)
    except zlib.error as error:
        raise ValueError(f"its data are damaged: {error}") from error
    if len(pixels) != length:
        raise ValueError(f"its data have {'more' if len(pixels) > length else 'fewer'} bytes than its header says")
    return pixels


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
