"""Independent Gaussian noise of constant variance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from eigexp.errors import ConfigurationError, ModelError
from eigexp.noise.base import Noise, Response
from eigexp.system.arrays import read_arrays


@dataclass(frozen=True)
class GaussianNoise(Noise):
    """Independent Gaussian noise whose variance does not depend on the image: a = r / sigma (Berardino et al. 2017, section 2).

    Attributes:
        variance: in squared response units; 1.0 leaves F = J^T J. Several values are those of the channels, in the order of the responses;
            a file (.npy, .npz or .safetensors with an array `variance`) has one for each response or channel.
    """

    name: ClassVar[str] = "gaussian"
    depends_on_response: ClassVar[bool] = False

    variance: float | Sequence[float] | str = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.variance, list):
            object.__setattr__(self, "variance", tuple(self.variance))  # hashable, as a frozen dataclass should be
        values = self._values
        if not len(values) or not all(math.isfinite(v) and v > 0 for v in values.tolist()):
            wrong = self.variance if isinstance(self.variance, str) else next((v for v in values.tolist() if not v > 0), self.variance)
            raise ConfigurationError(f"noise.variance={wrong} must be a positive number, in squared response units.")

    def augment(self, response: Response, at: Response) -> Tensor:
        """Return r / sqrt(variance)."""
        if self.variance == 1.0:
            return response
        if len(self._values) == 1:
            return response / math.sqrt(float(self._values[0]))
        m, channels = response.shape[1], len(self._values)
        if m % channels:
            raise ModelError(f"noise.variance has {channels} values, which do not divide the m={m} responses. Give one for each channel.")
        return response / self._values.sqrt().repeat_interleave(m // channels).to(response)

    @cached_property
    def _values(self) -> Tensor:
        if isinstance(self.variance, str):
            return read_arrays(self.variance, "noise.variance", "variance")["variance"].flatten()
        return torch.atleast_1d(torch.as_tensor(self.variance, dtype=torch.float64))
