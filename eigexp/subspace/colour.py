"""Distortions along one axis of colour."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from eigexp.errors import ConfigurationError, ImageError, nearest
from eigexp.subspace.base import PixelSubspace

_AXES: dict[str, tuple[float, float, float]] = {
    "luminance": (1, 1, 1),
    "red_green": (1, -1, 0),
    "blue_yellow": (-1, -1, 2),
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
}


@dataclass(frozen=True)
class Colour(PixelSubspace):
    """Distortions along one axis of RGB: the achromatic and opponent axes (van de Sande, Gevers and Snoek 2010), or one channel.

    Attributes:
        axis: luminance, red_green, blue_yellow, red, green or blue.
    """

    name: ClassVar[str] = "colour"

    axis: Literal["luminance", "red_green", "blue_yellow", "red", "green", "blue"] = "luminance"

    def __post_init__(self) -> None:
        if self.axis not in _AXES:
            raise ConfigurationError(f"subspace.axis={self.axis} is unknown. {nearest(str(self.axis), _AXES)}")

    def coordinate_shape(self, image_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return (1, h, w): coordinates are an image of one channel."""
        if len(image_shape) != 3 or image_shape[0] != 3:
            raise ImageError(f"subspace=colour needs images of 3 channels, but got shape {image_shape}. Set images.grey=false.")
        return (1, *image_shape[1:])

    def dimension(self, image_shape: tuple[int, ...]) -> int:
        """Return the number of pixels of one channel."""
        return math.prod(self.coordinate_shape(image_shape))

    def to_pixels(self, v: Float[Tensor, "*more n"], image_shape: tuple[int, ...]) -> Float[Tensor, "*more pixels"]:
        """Return the plane v along the axis."""
        return (self._direction(v)[:, None] * v[..., None, :]).flatten(-2)

    def from_pixels(self, pixels: Float[Tensor, "*more pixels"], image_shape: tuple[int, ...]) -> Float[Tensor, "*more n"]:
        """Return the component of each pixel along the axis."""
        return (self._direction(pixels)[:, None] * pixels.unflatten(-1, (3, -1))).sum(-2)

    def _direction(self, like: Tensor) -> Tensor:
        direction = torch.tensor(_AXES[self.axis], dtype=torch.float64)
        return (direction / direction.norm()).to(like)
