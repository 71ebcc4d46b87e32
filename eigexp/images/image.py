"""One image, ready for a model."""

import hashlib
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Image:
    """An image and what identifies it.

    Attributes:
        name: short name, for tables and file names.
        pixels: shape (c, h, w), float32, in [0, 1] from image files; any shape and range, float32 or float64, from `TensorImages`.
        sha256: hexadecimal digest of the dtype, shape and bytes of `pixels`; computed when left empty.
        source: its origin as text, without paths of this machine.
    """

    name: str
    pixels: Tensor
    sha256: str = ""
    source: str = "given as a tensor"

    def __post_init__(self) -> None:
        if not self.sha256:
            object.__setattr__(self, "sha256", pixels_digest(self.pixels))


def pixels_digest(pixels: Tensor) -> str:
    """Return the hexadecimal SHA-256 over dtype, shape and little-endian bytes."""
    array = pixels.detach().cpu().contiguous().numpy()
    digest = hashlib.sha256(f"{array.dtype} {array.shape} ".encode())
    digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()
