"""Distortions that decrease to zero towards the edges of a window."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from eigexp.errors import ConfigurationError, ImageError
from eigexp.subspace.base import PixelSubspace, orthonormal_columns
from eigexp.subspace.frequencies import cosines

_LEAST = 0.1  # share of a function's norm that the window must leave, relative to the largest


@dataclass(frozen=True)
class Window(PixelSubspace):
    """Distortions w(x) g(x): a window that decreases to zero, times any g with frequencies up to `high` along either axis.

    Without a frequency limit a window would restrict nothing: pixel by pixel, any distortion is the window times another one. For the same
    reason only functions g are used that keep at least a tenth of their norm along either axis: the most concentrated ones, as in
    Slepian and Pollak (1961). Window and limit are products of one factor for each axis, and so is the orthonormal basis.

    Attributes:
        shape: "gaussian", or "cosine" for a raised cosine.
        extent: of the window as a share of the image's sides: four standard deviations, or the width where the cosine is above zero.
        high: highest frequency of g, in cycles per pixel.
        y: centre, as a share of the height from the top.
        x: centre, as a share of the width from the left.
    """

    name: ClassVar[str] = "window"

    shape: Literal["gaussian", "cosine"] = "gaussian"
    extent: float = 0.5
    high: float = 0.25
    y: float = 0.5
    x: float = 0.5

    def __post_init__(self) -> None:
        if self.shape not in ("gaussian", "cosine"):
            raise ConfigurationError(f"subspace.shape={self.shape} is unknown. Choose gaussian or cosine.")
        for key, low, high in (("extent", 0.0, 2.0), ("high", 0.0, 0.5)):
            if not low < getattr(self, key) <= high:
                raise ConfigurationError(f"subspace.{key}={getattr(self, key)} must lie in ({low:g}, {high:g}].")
        for key in ("y", "x"):
            if not 0 <= getattr(self, key) <= 1:
                raise ConfigurationError(f"subspace.{key}={getattr(self, key)} must lie in [0, 1], as a share of the image's side.")

    def dimension(self, image_shape: tuple[int, ...]) -> int:
        """Return the product of the numbers of functions along each axis, and of the channels."""
        rows, columns = self._factors(image_shape, torch.zeros(0))
        return math.prod(image_shape[:-2]) * rows.shape[1] * columns.shape[1]

    def to_pixels(self, v: Float[Tensor, "*more n"], image_shape: tuple[int, ...]) -> Float[Tensor, "*more pixels"]:
        """Return Q_y V Q_x^T for each channel."""
        rows, columns = self._factors(image_shape, v)
        V = v.unflatten(-1, (math.prod(image_shape[:-2]), rows.shape[1], columns.shape[1]))
        return (rows @ V @ columns.T).flatten(-3)

    def from_pixels(self, pixels: Float[Tensor, "*more pixels"], image_shape: tuple[int, ...]) -> Float[Tensor, "*more n"]:
        """Return Q_y^T X Q_x for each channel."""
        rows, columns = self._factors(image_shape, pixels)
        X = pixels.unflatten(-1, (math.prod(image_shape[:-2]), rows.shape[0], columns.shape[0]))
        return (rows.T @ X @ columns).flatten(-3)

    def _factors(self, image_shape: tuple[int, ...], like: Tensor) -> tuple[Tensor, Tensor]:
        if len(image_shape) < 2:
            raise ImageError(f"subspace=window needs images of two axes or more, but one image has shape {image_shape}. Use subspace=none.")
        return self._factor(image_shape[-2], self.y).to(like), self._factor(image_shape[-1], self.x).to(like)

    def _factor(self, length: int, centre: float) -> Tensor:
        if (length, centre) not in self._known:
            count = min(length, int(2 * length * self.high) + 1)
            columns = self._profile(length, centre)[:, None] * cosines(length)[:, :count]
            self._known[length, centre] = orthonormal_columns(columns, str(self), least=_LEAST)
        return self._known[length, centre]

    def _profile(self, length: int, centre: float) -> Tensor:
        """Return the window along an axis of this number of pixels."""
        away = ((torch.arange(length, dtype=torch.float64) + 0.5) / length - centre) / self.extent
        if self.shape == "gaussian":
            return torch.exp(-8 * away.square())
        return torch.where(away.abs() < 0.5, (1 + torch.cos(2 * math.pi * away)) / 2, 0.0)

    @cached_property
    def _known(self) -> dict[tuple[int, float], Tensor]:
        return {}
