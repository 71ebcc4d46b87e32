"""Gaussian noise with correlations from a file."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from eigexp.errors import ConfigurationError, ModelError
from eigexp.noise.base import Noise, Response
from eigexp.system.arrays import read_arrays


@dataclass(frozen=True)
class LowRankNoise(Noise):
    """Gaussian noise with covariance D + U U^T, as estimated by factor analysis of recorded responses: a = (I + W W^T)^(-1/2) D^(-1/2) r.

    W = D^(-1/2) U has few columns; with its singular vectors Q and values s, (I + W W^T)^(-1/2) = I - Q diag(1 - (1 + s^2)^(-1/2)) Q^T.

    Attributes:
        path: a .npz or .safetensors file with `diagonal` (m,), the variances D, and `factors` (m, rank), U; in response units.
    """

    name: ClassVar[str] = "low_rank"
    depends_on_response: ClassVar[bool] = False

    path: str

    def __post_init__(self) -> None:
        diagonal, factors = self._arrays
        if diagonal.ndim != 1 or factors.ndim != 2 or len(factors) != len(diagonal) or not bool((diagonal > 0).all()):
            raise ConfigurationError(
                f"noise.path={self.path}: diagonal has shape {tuple(diagonal.shape)} and smallest entry {float(diagonal.min()):.3g}, "
                f"factors {tuple(factors.shape)}. Write positive variances (m,) and factors (m, rank)."
            )

    def augment(self, response: Response, at: Response) -> Tensor:
        """Return the whitened responses."""
        deviation, Q, shrink = (t.to(response) for t in self._root)
        if len(deviation) != response.shape[1]:
            raise ModelError(f"noise.path={self.path} describes {len(deviation)} responses, but the model has {response.shape[1]}.")
        scaled = response / deviation
        return scaled - (scaled @ Q * shrink) @ Q.T

    @cached_property
    def _arrays(self) -> tuple[Tensor, Tensor]:
        arrays = read_arrays(self.path, "noise.path", "diagonal", "factors")
        return arrays["diagonal"], arrays["factors"]

    @cached_property
    def _root(self) -> tuple[Tensor, Tensor, Tensor]:
        deviation = self._arrays[0].sqrt()
        Q, s, _ = torch.linalg.svd(self._arrays[1] / deviation[:, None], full_matrices=False)
        return deviation, Q, 1 - (1 + s.square()).rsqrt()
