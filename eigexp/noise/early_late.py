"""Gaussian noise in the pixels and in the responses."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from eigexp.noise.base import Noise, Response, check_positive


@dataclass(frozen=True)
class EarlyLateNoise(Noise):
    """Gaussian noise added to the pixels, and to the responses: F = J^T (sigma_early^2 J J^T + sigma_late^2 I)^-1 J.

    It has the eigenvectors of J^T J. Each eigenvalue lambda becomes lambda / (sigma_late^2 + sigma_early^2 lambda), which never exceeds
    1 / sigma_early^2: the noise before the model limits the effect of its amplification.

    Attributes:
        sigma_early: standard deviation in the pixels, in pixel units.
        sigma_late: standard deviation in the responses, in response units.
    """

    name: ClassVar[str] = "early_late"
    depends_on_response: ClassVar[bool] = False

    sigma_early: float = 0.1
    sigma_late: float = 1.0

    def __post_init__(self) -> None:
        check_positive(sigma_early=self.sigma_early, sigma_late=self.sigma_late)

    def augment(self, response: Response, at: Response) -> Tensor:
        """Return r: eigenpairs are computed for J^T J."""
        return response

    def map_eigenvalues(self, values: Tensor) -> Tensor:
        """Return lambda / (sigma_late^2 + sigma_early^2 lambda), which increases with lambda."""
        return values * self.slope(values)

    def slope(self, values: Tensor | float) -> Tensor | float:
        """Return 1 / (sigma_late^2 + sigma_early^2 lambda), which bounds the slope of every chord of the map that starts at lambda."""
        return 1 / (self.sigma_late**2 + self.sigma_early**2 * values)
