"""Which part of an image is taken, and whether it is scaled."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64
from torch import Tensor

from eigexp.errors import ImageError
from eigexp.images.transforms import Size, check_size, transform

Crop = str | Sequence[int] | None
Resize = Literal["cover", "none"]
_RANDOM = re.compile(r"random\((\d+)\)")


@dataclass(frozen=True)
class Framing:
    """From the pixels of a file to those of an image.

    Attributes:
        size: final height and width; None for the image's or the crop's own.
        grey: True for one channel, False for three, None for the file's own.
        crop: part taken at the image's own resolution: (top, left, height, width); "center", or "random(seed)" for a different place in
            each image, both with `size` pixels and without scaling; None for the whole image.
        resize: "cover" scales until `size` is just covered, and crops the rest at the centre; "none" never scales.
    """

    size: tuple[int, int] | None
    grey: bool | None
    crop: str | tuple[int, ...] | None = None
    resize: str = "cover"

    @classmethod
    def of(cls, size: Size, grey: bool | None, crop: Crop, resize: str) -> "Framing":
        """Return the framing from settings of a configuration.

        Raises:
            ImageError: if one is invalid.
        """
        framing = cls(check_size(size), grey, crop if isinstance(crop, str | None) else tuple(crop), resize)
        framing._check()
        return framing

    def __call__(self, array: Float64[np.ndarray, "h w c"], name: str) -> Float32[Tensor, "_ _ _"]:
        """Return pixels (c, h, w) in [0, 1].

        Args:
            array: in [0, 1].
            name: of the image, which a random crop depends on.

        Raises:
            ImageError: if the crop is not within the image.
        """
        box = self._box(array.shape[0], array.shape[1], name)
        if box is not None:
            top, left, height, width = box
            if min(box) < 0 or top + height > array.shape[0] or left + width > array.shape[1]:
                own = f"{array.shape[0]}x{array.shape[1]}"
                raise ImageError(f"images.crop={self.crop} of {height}x{width} is not within {name} of {own} pixels. Give a smaller one.")
            array = array[top : top + height, left : left + width]
        scaled = self.resize == "cover" and not isinstance(self.crop, str)
        return transform(array, self.size if scaled else None, self.grey)

    def _box(self, height: int, width: int, name: str) -> tuple[int, ...] | None:
        if not isinstance(self.crop, str):
            return self.crop
        assert self.size is not None
        free = height - self.size[0], width - self.size[1]
        seed = _RANDOM.fullmatch(self.crop)
        if seed is None or min(free) < 0:
            return free[0] // 2, free[1] // 2, *self.size
        # By a hash, which gives the same place on every machine and for every order of the images.
        digest = hashlib.sha256(f"{seed.group(1)} {name}".encode()).digest()
        top, left = (int.from_bytes(part, "big") % (most + 1) for part, most in zip((digest[:8], digest[8:16]), free, strict=True))
        return top, left, *self.size

    def _check(self) -> None:
        if self.resize not in ("cover", "none"):
            raise ImageError(f"images.resize={self.resize} is unknown. Choose cover or none.")
        if isinstance(self.crop, str):
            if self.crop != "center" and not _RANDOM.fullmatch(self.crop):
                raise ImageError(f"images.crop={self.crop} is unknown. Choose center, random(<seed>), [top,left,height,width] or null.")
            if self.size is None:
                raise ImageError(f"images.crop={self.crop} needs images.size, the height and width of the part.")
        elif self.crop is not None and (len(self.crop) != 4 or any(not isinstance(v, int) for v in self.crop) or min(self.crop[2:]) < 1):
            raise ImageError(f"images.crop={list(self.crop)} is not a box. Give [top,left,height,width], whole numbers.")
