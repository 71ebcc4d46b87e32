"""What a trial is about: a model at images, and its true eigenvalues."""

import copy
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from eigexp.noise import Noise
from eigexp.operators import Operator, dense_matrix, linearise
from eigexp.operators.pair import pair_operator
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


@dataclass(frozen=True)
class Pair(Subject):
    """Two models at images; the eigenvalues are the ratios v^T F v / v^T (F_against + floor I) v."""

    against: nn.Module = field(default_factory=nn.Identity)
    floor: float = 1.0

    def operator(self, dtype: torch.dtype, method: str = "auto") -> Operator:
        return pair_operator(self.model, self.against, self.images, self.floor)

    @cached_property
    def truth(self) -> Tensor:
        images = self.images.double()
        J, K = (dense_matrix(linearise(copy.deepcopy(f).double().eval(), images)) for f in (self.model, self.against))
        # The squares of the singular values of J M^(-1/2), M = K^T K + floor I.
        values, vectors = torch.linalg.eigh(K.mT @ K + self.floor * torch.eye(K.shape[-1], dtype=K.dtype))
        ratios = torch.linalg.svdvals(J @ vectors * values.rsqrt()[:, None]).square()
        return nn.functional.pad(ratios, (0, J.shape[-1] - ratios.shape[-1]))
