"""Response noise as a map a(r; r0) of the responses: F = A^T A, where A is the derivative of a(r(x); r0) at the image."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from eigexp.errors import ConfigurationError, ModelError
from eigexp.shapes import Responses

Response = Float[Tensor, "b m"]


class Noise(ABC):
    """A likelihood of noisy responses, by the map whose squared derivative is its Fisher information.

    A subclass declares `name`, which becomes part of the ids of results, and defines `augment`.
    """

    name: ClassVar[str]
    depends_on_response: ClassVar[bool] = True  # False saves the forward pass that r0 takes

    @abstractmethod
    def augment(self, response: Response, at: Response) -> Float[Tensor, "b a"]:
        """Return a(r; r0): differentiable in r, with the Fisher information of r at r0 as (da/dr)^T da/dr.

        Args:
            response: r, shape (b, m).
            at: r0, the responses at the images, constant; r itself where `depends_on_response` is False.
        """

    def check(self, at: Response) -> None:
        """Refuse responses at which the noise is not defined.

        Raises:
            ModelError: naming the first such response, and what to do.
        """
        if not torch.isfinite(self.augment(at, at)).all():
            raise ModelError(f"noise={self.name} is not finite (NaN or Inf) at the responses to this image. Choose another noise or layer.")

    def whiten(self, u: Responses, at: Response) -> Float[Tensor, "b k a"]:
        """Return (da/dr) u at r0 for vectors (b, k, m): changes of responses in units of the noise."""
        fixed = at[:, None].expand_as(u).flatten(0, 1)
        with torch.enable_grad():
            r = fixed.clone().requires_grad_()
            augmented = self.augment(r, fixed)
            # (da/dr)^T c is linear in c, so that its derivative along u with respect to c is (da/dr) u.
            c = torch.zeros_like(augmented, requires_grad=True)
            (back,) = torch.autograd.grad(augmented, r, c, create_graph=True)
            (moved,) = torch.autograd.grad(back, c, u.flatten(0, 1))
        return moved.detach().unflatten(0, u.shape[:2])


def check_positive(**settings: float) -> None:
    """Refuse settings of a noise that are not positive numbers.

    Raises:
        ConfigurationError: naming the setting and its value.
    """
    for name, value in settings.items():
        if not (math.isfinite(value) and value > 0):
            raise ConfigurationError(f"noise.{name}={value} must be a positive number. Set one greater than 0.")


def check_mean(name: str, at: Tensor, offset: float | None) -> None:
    """Refuse responses (b, m) that are not positive once the offset is added.

    Raises:
        ModelError: naming the noise, the first such response, and a sufficient offset, or another noise if it has no offset.
    """
    bad = at + (offset or 0.0) <= 0
    if not bool(bad.any()):
        return
    image, index = bad.nonzero()[0].tolist()
    least = float(at.min())
    hint = f"Set noise.offset= to more than {max(0.0, -least):.3g}." if offset is not None else "Choose a layer with positive responses."
    raise ModelError(
        f"noise={name} needs positive responses, but response {index} of image {image} is {float(at[image, index]):.3g}"
        f"{f' with noise.offset={offset:g}' if offset else ''} ({int(bad.sum())} of {bad.numel()} are not positive). {hint}"
    )
