"""Gaussian noise whose variance depends on the response."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from eigexp.errors import ConfigurationError
from eigexp.noise.base import Noise, Response, check_mean, check_positive


class VarianceNoise(Noise):
    """Independent Gaussian noise with variance s^2(r): a = [r / s(r0), ln s^2(r) / sqrt 2].

    The second half is the information about the image in the variance itself (Kay 1993, equation 3.31): F = J^T diag(1/s0^2) J + 1/2 Js^T
    diag(1/s0^4) Js with the Jacobian Js of s^2. A subclass declares `name` and defines `variance_of`.
    """

    covariance_term: bool = True  # False leaves it out

    @abstractmethod
    def variance_of(self, response: Response) -> Tensor:
        """Return s^2(r), positive and differentiable, in squared response units."""

    def augment(self, response: Response, at: Response) -> Tensor:
        """Return [r / s(r0), ln s^2(r) / sqrt 2], or its first half alone."""
        scaled = response / self.variance_of(at).sqrt()
        return torch.cat([scaled, self.variance_of(response).log() / math.sqrt(2)], dim=1) if self.covariance_term else scaled


@dataclass(frozen=True)
class PowerLawNoise(VarianceNoise):
    """Independent Gaussian noise with variance scale * (r + offset)^exponent.

    Attributes:
        scale: the variance at a response of 1, in response units to the power 2 - exponent.
        exponent: 1 makes the variance proportional to the response, 2 the standard deviation (Weber's law).
        offset: added to every response, in response units.
        covariance_term: include the information about the image that the variance carries.
    """

    name: ClassVar[str] = "power_law"

    scale: float = 1.0
    exponent: float = 1.0
    offset: float = 0.0
    covariance_term: bool = True

    def __post_init__(self) -> None:
        check_positive(scale=self.scale)
        if not math.isfinite(self.exponent):
            raise ConfigurationError(f"noise.exponent={self.exponent} must be a finite number.")
        if not 0 <= self.offset < math.inf:
            raise ConfigurationError(f"noise.offset={self.offset} must be zero or more, in response units.")

    def check(self, at: Response) -> None:
        """Refuse responses without a positive variance."""
        check_mean(self.name, at, self.offset)

    def variance_of(self, response: Response) -> Tensor:
        """Return scale * (r + offset)^exponent."""
        return self.scale * (response + self.offset) ** self.exponent
