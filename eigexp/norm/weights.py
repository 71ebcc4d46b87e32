"""A norm that weights some pixels more than others."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from jaxtyping import Float
from torch import Size, Tensor

from eigexp.errors import ConfigurationError, ImageError
from eigexp.norm.base import Norm
from eigexp.system.arrays import read_arrays


@dataclass(frozen=True)
class PixelWeights(Norm):
    """||v||^2 = sum w v^2: where w is small, changes have a small norm.

    Attributes:
        path: a .npz, .npy or .safetensors file with positive `weights` (h, w), for all channels, or (c, h, w).
    """

    name: ClassVar[str] = "weights"

    path: str

    def __post_init__(self) -> None:
        if not bool((self._weights > 0).all()):
            raise ConfigurationError(
                f"norm.path={self.path}: the smallest weight is {float(self._weights.min()):.3g}. All weights must be positive."
            )

    def apply(
        self, pixels: Float[Tensor, "*more pixels"], image_shape: tuple[int, ...], power: float = 1.0
    ) -> Float[Tensor, "*more pixels"]:
        """Return w^power v."""
        weights = self._weights
        if tuple(weights.shape) not in (tuple(image_shape), tuple(image_shape[-2:])):
            raise ImageError(f"norm.path={self.path} has weights of shape {tuple(weights.shape)}, but an image {tuple(image_shape)}.")
        return pixels * weights.expand(Size(image_shape)).flatten().to(pixels) ** power

    @cached_property
    def _weights(self) -> Tensor:
        return read_arrays(self.path, "norm.path", "weights")["weights"]
