"""Distortions that a generator can produce."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Size, Tensor, nn

from eigexp.errors import ConfigurationError, ImageError
from eigexp.subspace.base import BasisSubspace
from eigexp.system.arrays import read_arrays


@dataclass(frozen=True)
class Tangent(BasisSubspace):
    """Distortions tangent to the images of a decoder at one latent: the range of its Jacobian, orthonormalised.

    Attributes:
        decoder: maps latents (1, *latent shape) to images (1, *image shape); in a configuration a node with its `_target_`.
        path: a .npz, .npy or .safetensors file with `latent`, without the leading axis.
    """

    name: ClassVar[str] = "tangent"

    decoder: Any
    path: str

    def __post_init__(self) -> None:
        if not callable(self.decoder):
            raise ConfigurationError(
                "subspace.decoder is not callable. Set subspace.decoder={_target_: CLASS} to a class or function that makes a module."
            )

    def columns(self, image_shape: tuple[int, ...]) -> Float[Tensor, "pixels d"]:
        """Return the decoder's Jacobian."""
        latent = read_arrays(self.path, "subspace.path", "latent")["latent"]
        decode: Callable[[Tensor], Tensor] = self.decoder
        if isinstance(self.decoder, nn.Module):
            self.decoder.eval().double()
        J = torch.autograd.functional.jacobian(lambda z: decode(z[None]).flatten(), latent, vectorize=True).flatten(1)
        if len(J) != Size(image_shape).numel():
            raise ImageError(
                f"subspace.decoder makes {len(J)} pixels, but an image has shape {tuple(image_shape)}. Set images.size to match."
            )
        return J
