"""What a trial is about: a model at images, and its true eigenvalues."""

import copy
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from eigexp.noise import Noise
from eigexp.operators import Operator, dense_matrix, linearise
from eigexp.subspace import Mask


@dataclass(frozen=True)
class Subject:
    """A model, in float32, at images (b, c, h, w) whose pixels are float32 numbers, with noise and a mask or none.

    In float64 the same weights and pixels are taken, so that both precisions share one truth.
    """

    model: nn.Module
    images: Tensor
    mask: Mask | None = None
    noise: Noise | None = None

    def operator(self, dtype: torch.dtype, method: str = "auto") -> Operator:
        model = copy.deepcopy(self.model).to(dtype).eval().requires_grad_(False)
        return linearise(model, self.images.to(dtype), method=method, noise=self.noise, subspace=self.mask)  # pyright: ignore[reportArgumentType]

    @cached_property
    def truth(self) -> Tensor:
        """All eigenvalues of each image, decreasing, shape (b, n), float64: squares of singular values, exact to 1e-15 lambda_1."""
        J = dense_matrix(self.operator(torch.float64, method="double_backward"))
        values = torch.linalg.svdvals(J).square()
        return nn.functional.pad(values, (0, J.shape[-1] - values.shape[-1]))
