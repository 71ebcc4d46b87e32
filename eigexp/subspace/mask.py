"""Distortions inside a mask."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from eigexp.errors import ConfigurationError, ImageError
from eigexp.images.reading import read_image
from eigexp.subspace.base import PixelSubspace

_LUMA = (0.299, 0.587, 0.114)  # Rec. 601, in which Pillow makes colours grey
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Mask(PixelSubspace):
    """Distortions that are zero outside a mask; the mask is the same in every channel.

    Attributes:
        shape: "disk" (an ellipse inscribed in the image) or "box", centred; or "file".
        extent: diameter of the disk or side of the box as a share of the image's sides, in (0, 1].
        path: image file of the mask for shape "file": pixels brighter than half are kept; as large as the image.
    """

    name: ClassVar[str] = "mask"

    shape: Literal["disk", "box", "file"] = "disk"
    extent: float = 1.0
    path: str | None = None

    def __post_init__(self) -> None:
        if self.shape not in ("disk", "box", "file"):
            raise ConfigurationError(f"subspace.shape={self.shape} is unknown. Choose disk, box or file.")
        if not 0 < self.extent <= 1:
            raise ConfigurationError(f"subspace.extent={self.extent} must lie in (0, 1], as a share of the image's sides.")
        if (self.shape == "file") != (self.path is not None):
            raise ConfigurationError(
                f"subspace.shape={self.shape} and subspace.path={self.path} disagree. Set a path if and only if shape=file."
            )

    def dimension(self, image_shape: tuple[int, ...]) -> int:
        """Return the number of kept pixels, all channels together."""
        return len(self._kept(image_shape))

    def to_pixels(self, v: Float[Tensor, "*more n"], image_shape: tuple[int, ...]) -> Float[Tensor, "*more pixels"]:
        """Return images with the values of the kept pixels, zero elsewhere."""
        pixels = v.new_zeros(*v.shape[:-1], torch.Size(image_shape).numel())
        return pixels.index_copy(-1, self._kept(image_shape, v.device), v)

    def from_pixels(self, pixels: Float[Tensor, "*more pixels"], image_shape: tuple[int, ...]) -> Float[Tensor, "*more n"]:
        """Return the values of the kept pixels."""
        return pixels.index_select(-1, self._kept(image_shape, pixels.device))

    def _kept(self, image_shape: tuple[int, ...], device: torch.device = _CPU) -> Int64[Tensor, " n"]:
        """Return the positions of the kept pixels, found once for each image shape and device."""
        # Every product asks for it, and a mask from a file would be read each time.
        key = (tuple(image_shape), device)
        if key not in self._known:
            self._known[key] = self._find_kept(tuple(image_shape)).to(device)
        return self._known[key]

    @cached_property
    def _known(self) -> dict[tuple[tuple[int, ...], torch.device], Tensor]:
        return {}

    def _find_kept(self, image_shape: tuple[int, ...]) -> Tensor:
        if len(image_shape) < 2:
            raise ImageError(f"the mask {self} needs images of two axes or more, but one image has shape {image_shape}. Use subspace=none.")
        mask = self._plane(image_shape[-2:]).expand(image_shape)
        kept = mask.flatten().nonzero().squeeze(1)
        if not len(kept):
            raise ImageError(f"the mask {self} keeps no pixel of an image of shape {image_shape}. Use a larger subspace.extent.")
        return kept

    def _plane(self, sides: tuple[int, ...]) -> Tensor:
        if self.shape == "file":
            return self._from_file(sides)
        # Centres of pixels on [-1, 1]: symmetric for odd and even sides alike.
        y, x = (torch.linspace(-1 + 1 / s, 1 - 1 / s, s) for s in sides)
        if self.shape == "box":
            return (y.abs() <= self.extent)[:, None] & (x.abs() <= self.extent)[None, :]
        return y[:, None] ** 2 + x[None, :] ** 2 <= self.extent**2

    def _from_file(self, sides: tuple[int, ...]) -> Tensor:
        try:
            pixels = read_image(Path(str(self.path)).expanduser())
        except ImageError as error:
            raise ImageError(f"subspace.path={self.path}: {error} A mask is a PNG of the image's size.") from error
        plane = torch.from_numpy(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels @ _LUMA)
        if tuple(plane.shape) != tuple(sides):
            raise ImageError(
                f"the mask {self.path} has size {tuple(plane.shape)}, but the image {tuple(sides)}. Give a mask of the image's size."
            )
        return plane > 0.5
