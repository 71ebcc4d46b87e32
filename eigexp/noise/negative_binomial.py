"""Noise of spike counts that vary more than Poisson's."""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from eigexp.noise.base import Response, check_positive
from eigexp.noise.poisson import PoissonNoise


@dataclass(frozen=True)
class NegativeBinomialNoise(PoissonNoise):
    """Independent negative binomial counts with mean r and variance r + g r^2: a = (2 / sqrt g) asinh sqrt(g r) (Anscombe 1948).

    Such counts are Poisson with a gain that varies from trial to trial (Goris, Movshon and Simoncelli 2014).

    Attributes:
        offset: added to every response, in response units.
        dispersion: g, the squared coefficient of variation of the gain.
    """

    name: ClassVar[str] = "negative_binomial"

    dispersion: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(dispersion=self.dispersion)

    def augment(self, response: Response, at: Response) -> Tensor:
        """Return (2 / sqrt g) asinh sqrt(g r), whose squared derivative is 1 / (r + g r^2)."""
        return (2 / math.sqrt(self.dispersion)) * (self.dispersion * (response + self.offset)).sqrt().asinh()
