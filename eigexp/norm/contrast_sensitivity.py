"""A norm that weights spatial frequencies by the contrast sensitivity of human observers."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from eigexp.errors import ConfigurationError
from eigexp.norm.base import Norm


@dataclass(frozen=True)
class ContrastSensitivity(Norm):
    """||v||^2 = sum S(f)^2 |V(f)|^2 / max S^2, by the discrete Fourier transform V of each channel.

    S(f) = 2.6 (0.0192 + 0.114 f) exp(-(0.114 f)^1.1), with f in cycles per degree, is the contrast sensitivity of Mannos and Sakrison
    (1974, IEEE Transactions on Information Theory 20, p. 535). Changes of equal norm are then equally visible to an observer whose
    detection thresholds on uniform fields follow S.

    Attributes:
        distance: of the observer from the display, in centimetres.
        pixel: size of a pixel of the display, in centimetres.
        least: lower limit of the sensitivity, relative to the largest.
    """

    name: ClassVar[str] = "csf"

    distance: float = 57.0
    pixel: float = 0.025
    least: float = 0.02

    def __post_init__(self) -> None:
        for key in ("distance", "pixel"):
            if not (math.isfinite(getattr(self, key)) and getattr(self, key) > 0):
                raise ConfigurationError(f"norm.{key}={getattr(self, key)} must be a positive number of centimetres.")
        if not 0 < self.least <= 1:
            raise ConfigurationError(f"norm.least={self.least} must lie in (0, 1], relative to the largest sensitivity.")

    @property
    def pixels_per_degree(self) -> float:
        """Return how many pixels one degree of visual angle spans."""
        return self.distance * math.tan(math.radians(1)) / self.pixel

    def apply(
        self, pixels: Float[Tensor, "*more pixels"], image_shape: tuple[int, ...], power: float = 1.0
    ) -> Float[Tensor, "*more pixels"]:
        """Return the image with its spectrum multiplied by S^(2 power)."""
        h, w = image_shape[-2:]
        S = self.sensitivity(h, w).to(pixels) ** (2 * power)
        spectrum = torch.fft.rfft2(pixels.unflatten(-1, (-1, h, w))) * S
        return torch.fft.irfft2(spectrum, s=(h, w)).flatten(-3)

    def sensitivity(self, h: int, w: int) -> Float[Tensor, "h u"]:
        """Return S at the frequencies of a real Fourier transform, relative to its largest value at any frequency."""
        cycles = torch.hypot(torch.fft.fftfreq(h, dtype=torch.float64)[:, None], torch.fft.rfftfreq(w, dtype=torch.float64))
        return (_mannos_sakrison(cycles * self.pixels_per_degree) / _PEAK).clamp(min=self.least)


def _mannos_sakrison(f: Tensor) -> Tensor:
    return 2.6 * (0.0192 + 0.114 * f) * torch.exp(-((0.114 * f) ** 1.1))


_PEAK = float(_mannos_sakrison(torch.linspace(0, 30, 30001, dtype=torch.float64)).max())
