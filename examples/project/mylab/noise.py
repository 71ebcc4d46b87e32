"""Noise of the responses."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from eigexp.noise import Noise


@dataclass(frozen=True)
class Gain(Noise):
    """Independent noise of one standard deviation.

    Attributes:
        deviation: in response units.
    """

    name: ClassVar[str] = "gain"
    depends_on_response: ClassVar[bool] = False

    deviation: float = 0.1

    def augment(self, response: Tensor, at: Tensor) -> Tensor:
        """Return the responses in units of the noise."""
        return response / self.deviation
