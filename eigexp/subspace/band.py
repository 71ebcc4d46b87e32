"""Distortions within a band of spatial frequencies and orientations."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from eigexp.errors import ConfigurationError, ImageError
from eigexp.subspace.base import PixelSubspace
from eigexp.subspace.frequencies import cosines


@dataclass(frozen=True)
class Band(PixelSubspace):
    """Distortions with spatial frequencies in [low, high): discrete cosines, or with an orientation Fourier components.

    A product of cosines has two mirrored orientations; only complex exponentials can have one. These are periodic at the image's edges,
    whereas cosines are reflected there.

    Attributes:
        low: lowest frequency, in cycles per pixel.
        high: frequencies below this, in cycles per pixel; above sqrt(0.5) there are none.
        orientation: of the frequency vector, in degrees, counter-clockwise from horizontal: 0 for vertical stripes; None for all.
        width: of the range of orientations, centred, in degrees.
    """

    name: ClassVar[str] = "band"

    low: float = 0.0
    high: float = 0.25
    orientation: float | None = None
    width: float = 45.0

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high < math.inf:
            raise ConfigurationError(
                f"subspace.low={self.low} and subspace.high={self.high}: 0 <= low < high must hold, in cycles per pixel."
            )
        if self.orientation is not None and not math.isfinite(self.orientation):
            raise ConfigurationError(f"subspace.orientation={self.orientation} must be a number of degrees, or null.")
        if not 0 < self.width <= 180:
            raise ConfigurationError(f"subspace.width={self.width} must lie in (0, 180], in degrees.")

    def dimension(self, image_shape: tuple[int, ...]) -> int:
        """Return the number of components of all channels."""
        per_plane = self._cosine_indices(image_shape) if self.orientation is None else self._fourier_indices(image_shape)
        count = len(per_plane) if isinstance(per_plane, Tensor) else len(per_plane[0]) + 2 * len(per_plane[1])
        if not count:
            raise ImageError(f"the subspace {self} contains no frequency of images of shape {image_shape}. Choose a wider band.")
        return math.prod(image_shape[:-2]) * count

    def to_pixels(self, v: Float[Tensor, "*more n"], image_shape: tuple[int, ...]) -> Float[Tensor, "*more pixels"]:
        """Return the sum of the components."""
        planes = math.prod(image_shape[:-2])
        c = v.unflatten(-1, (planes, -1))
        h, w = image_shape[-2:]
        if self.orientation is None:
            spectrum = c.new_zeros(*c.shape[:-1], h * w).index_copy(-1, self._cosine_indices(image_shape).to(c.device), c)
            return (_cosines(h, c) @ spectrum.unflatten(-1, (h, w)) @ _cosines(w, c).T).flatten(-3)
        own, half, mirrored = (i.to(c.device) for i in self._fourier_indices(image_shape))
        a, b, d = c.split([len(own), len(half), len(half)], dim=-1)
        # A real image: the coefficient of -k is the conjugate of that of k.
        pair = torch.complex(b, -d) / math.sqrt(2)
        values = torch.cat([torch.complex(a, torch.zeros_like(a)), pair, pair.conj()], dim=-1)
        spectrum = values.new_zeros(*c.shape[:-1], h * w).index_copy(-1, torch.cat([own, half, mirrored]), values)
        return torch.fft.ifft2(spectrum.unflatten(-1, (h, w)), norm="ortho").real.flatten(-3)

    def from_pixels(self, pixels: Float[Tensor, "*more pixels"], image_shape: tuple[int, ...]) -> Float[Tensor, "*more n"]:
        """Return the coefficients of the components."""
        h, w = image_shape[-2:]
        x = pixels.unflatten(-1, (math.prod(image_shape[:-2]), h, w))
        if self.orientation is None:
            spectrum = _cosines(h, x).T @ x @ _cosines(w, x)
            return spectrum.flatten(-2).index_select(-1, self._cosine_indices(image_shape).to(x.device)).flatten(-2)
        own, half, _ = (i.to(x.device) for i in self._fourier_indices(image_shape))
        X = torch.fft.fft2(x, norm="ortho").flatten(-2)
        alone, pair = X.index_select(-1, own), X.index_select(-1, half)
        return torch.cat([alone.real, math.sqrt(2) * pair.real, -math.sqrt(2) * pair.imag], dim=-1).flatten(-2)

    def _cosine_indices(self, image_shape: tuple[int, ...]) -> Tensor:
        h, w = _sides(image_shape)
        if ("cosine", h, w) not in self._known:
            radius = torch.hypot(torch.arange(h).double()[:, None] / (2 * h), torch.arange(w).double() / (2 * w)).flatten()
            self._known["cosine", h, w] = ((self.low <= radius) & (radius < self.high)).nonzero().squeeze(1)
        return self._known["cosine", h, w]

    def _fourier_indices(self, image_shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the positions of coefficients that are their own conjugates, of one of each pair of others, and of its partner."""
        h, w = _sides(image_shape)
        if ("fourier", h, w) not in self._known:
            self._known["fourier", h, w] = self._find_fourier(h, w)
        return self._known["fourier", h, w]

    def _find_fourier(self, h: int, w: int) -> tuple[Tensor, Tensor, Tensor]:
        assert self.orientation is not None
        fy, fx = torch.fft.fftfreq(h, dtype=torch.float64)[:, None], torch.fft.fftfreq(w, dtype=torch.float64)
        radius = torch.hypot(fy, fx).flatten()
        # Rows count downwards, angles upwards. The distance of two orientations is at most 90 degrees.
        angle = torch.rad2deg(torch.atan2(-fy.expand(h, w), fx.expand(h, w))).flatten()
        away = (angle - self.orientation + 90) % 180 - 90
        index = torch.arange(h * w)
        partner = (-(index // w)) % h * w + (-(index % w)) % w
        chosen = (self.low <= radius) & (radius < self.high) & ((away.abs() <= self.width / 2) | (radius == 0))
        # Half a cycle a pixel has two signs in one coefficient, whose orientation is that of both.
        chosen = chosen & chosen[partner]
        return index[chosen & (index == partner)], index[chosen & (index < partner)], partner[chosen & (index < partner)]

    @cached_property
    def _known(self) -> dict[tuple[str, int, int], Any]:
        return {}


def _sides(image_shape: tuple[int, ...]) -> tuple[int, int]:
    if len(image_shape) < 2:
        raise ImageError(f"subspace=band needs images of two axes or more, but one image has shape {image_shape}. Use subspace=none.")
    return image_shape[-2], image_shape[-1]


def _cosines(length: int, like: Tensor) -> Tensor:
    return cosines(length).to(like)
