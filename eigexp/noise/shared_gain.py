"""Gaussian noise with a gain that all responses share."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from eigexp.noise.base import Noise, Response, check_mean, check_positive


@dataclass(frozen=True)
class SharedGainNoise(Noise):
    """Gaussian noise with covariance C(r) = diag(r) + g r r^T: the counts' own noise, and a fluctuating gain common to all responses.

    F = J^T C^-1 J + 1/2 tr(C^-1 dC C^-1 dC) (Kay 1993, equation 3.31). Both terms are squared lengths of vectors of length m, because with
    C = diag(r)^(1/2) (I + g w w^T) diag(r)^(1/2), w = sqrt(r), everything is diagonal but for one direction. The relative changes
    d = dr / r give tr(...) = d^T [diag(1 + 2 g r) - t r r^T] d with t = g^2 (1 + 2 g R) / (1 + g R)^2, R = sum r.

    Attributes:
        gain: g, the variance of the gain.
    """

    name: ClassVar[str] = "shared_gain"

    gain: float = 0.1

    def __post_init__(self) -> None:
        check_positive(gain=self.gain)

    def check(self, at: Response) -> None:
        """Refuse responses without a positive variance."""
        check_mean(self.name, at, None)

    def augment(self, response: Response, at: Response) -> Tensor:
        """Return [C0^(-1/2) r, root of the second term], both linear in r, shape (b, 2 m)."""
        g, total = self.gain, at.sum(1, keepdim=True)
        # (I + g w w^T)^(-1/2) = I - w w^T (1 - (1 + g R)^(-1/2)) / R, since |w|^2 = R.
        mean = _less(response / at.sqrt(), at.sqrt(), (1 - (1 + g * total) ** -0.5) / total)
        own = 1 + 2 * g * at
        q = at / own.sqrt()
        length = q.square().sum(1, keepdim=True)
        shared = (g / (1 + g * total)) ** 2 * (1 + 2 * g * total)
        # The square root of I - t q q^T, with q = r / sqrt(1 + 2 g r); t |q|^2 < 1, since the term is positive.
        covariance = _less(own.sqrt() * response / at, q, (1 - (1 - shared * length).clamp(min=0).sqrt()) / length)
        return torch.cat([mean, covariance / math.sqrt(2)], dim=1)


def _less(y: Tensor, direction: Tensor, factor: Tensor) -> Tensor:
    """Return y - factor * direction <direction, y>, for each image."""
    return y - factor * direction * (direction * y).sum(1, keepdim=True)
