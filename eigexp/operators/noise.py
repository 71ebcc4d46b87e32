"""Models of response noise: each gives W^(1/2), the square root of the inverse noise covariance, as a map of responses."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from eigexp.errors import ConfigurationError
from eigexp.shapes import Responses


class Noise(ABC):
    """A response-noise covariance; `whiten` is symmetric, so that the adjoint uses it too.

    A subclass declares `name`, which becomes part of the ids of results.
    """

    name: ClassVar[str]

    @abstractmethod
    def whiten(self, u: Responses, response: Float[Tensor, "b m"]) -> Responses:
        """Return W^(1/2) u for vectors (b, k, m), given the responses (b, m) at the images."""


@dataclass(frozen=True)
class GaussianNoise(Noise):
    """Independent Gaussian noise with the same variance in every response (Berardino et al. 2017, section 2).

    Attributes:
        variance: in squared response units; 1.0 leaves F = J^T J.
    """

    name: ClassVar[str] = "gaussian"

    variance: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.variance) and self.variance > 0):
            raise ConfigurationError(f"noise.variance={self.variance} must be a positive number, in squared response units.")

    def whiten(self, u: Responses, response: Float[Tensor, "b m"]) -> Responses:
        """Return u / sqrt(variance)."""
        return u if self.variance == 1.0 else u / math.sqrt(self.variance)
