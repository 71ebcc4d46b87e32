"""Noise of spike counts."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from eigexp.errors import ConfigurationError
from eigexp.noise.base import Noise, Response, check_mean


@dataclass(frozen=True)
class PoissonNoise(Noise):
    """Independent Poisson counts with means r + offset: a = 2 sqrt(r + offset), the variance-stabilising map of Anscombe (1948).

    Attributes:
        offset: added to every response, in response units, for responses that reach zero: the rate without a stimulus.
    """

    name: ClassVar[str] = "poisson"

    offset: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.offset < float("inf"):
            raise ConfigurationError(f"noise.offset={self.offset} must be zero or more, in response units.")

    def check(self, at: Response) -> None:
        """Refuse means that are not positive."""
        check_mean(self.name, at, self.offset)

    def augment(self, response: Response, at: Response) -> Tensor:
        """Return 2 sqrt(r + offset), whose squared derivative is 1 / (r + offset)."""
        return 2 * (response + self.offset).sqrt()
