"""A model at a batch of images, and what all methods of linearising it have in common."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from eigexp.errors import ModelError
from eigexp.noise import Noise
from eigexp.operators.base import Operator, OperatorShape
from eigexp.operators.columns import Columns
from eigexp.operators.outputs import output_tensors
from eigexp.operators.together import Together
from eigexp.subspace import PixelSubspace


@dataclass(frozen=True)
class LinearisationPoint:
    """What is linearised, and where."""

    model: Callable[[Tensor], Any]
    images: Tensor
    noise: Noise | None
    subspace: PixelSubspace | None
    batched: bool

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Return the shape of one image."""
        return tuple(self.images.shape[1:])

    @property
    def dimension(self) -> int:
        """Return the number of coordinates of one image: its pixels, or fewer in a subspace."""
        return self.subspace.dimension(self.image_shape) if self.subspace else torch.Size(self.image_shape).numel()

    def response(self, images: Tensor) -> Tensor:
        """Return a(r(images); r0), shape (b, m), with its graph: the responses as the noise augments them."""
        response = self.model_response(images)
        if self.noise is None:
            return response
        return self.noise.augment(response, self.at if self.noise.depends_on_response else response)

    @cached_property
    def at(self) -> Tensor:
        """Return r0, the model's responses at the images, without a graph.

        Raises:
            ModelError: if the noise is not defined there.
        """
        with torch.no_grad():
            at = self.model_response(self.images)
        if self.noise is not None:
            self.noise.check(at)
        return at

    def model_response(self, images: Tensor) -> Tensor:
        """Return the responses of the model to images (b, *image shape), concatenated, with their graph."""
        b = len(images)
        with _differentiable_attention():
            output = self.model(images if self.batched else images[0])
        return torch.cat([_per_image(t, b) for t in output_tensors(output)], dim=1)

    def of(self, images: Sequence[int]) -> "LinearisationPoint":
        """Return the point with some of the images, in the order given."""
        return LinearisationPoint(self.model, self.images[list(images)], self.noise, self.subspace, self.batched)


class JacobianOperator(Operator):
    """Base class of all methods: combines products with the Jacobian of the augmented responses and the pixel subspace."""

    method: str

    def __init__(self, point: LinearisationPoint):
        self.point = point
        self.dtype, self.device = point.images.dtype, point.images.device
        self.columns = Columns(self.device)
        self.response = self._prepare().detach()
        _check_response(self.response)
        b, m = self.response.shape
        self.shape = OperatorShape(b, m, point.dimension)
        self._selected: dict[tuple[int, ...], JacobianOperator] = {}

    @abstractmethod
    def _prepare(self) -> Tensor:
        """Linearise the model; return the responses (b, m)."""

    @abstractmethod
    def _jacobian(self, v: Tensor) -> Tensor:
        """Return J v: pixels (b, k, *image shape) -> (b, k, m)."""

    @abstractmethod
    def _jacobian_adjoint(self, u: Tensor) -> Tensor:
        """Return J^T u: (b, k, m) -> pixels (b, k, *image shape)."""

    def _apply(self, v: Tensor) -> Tensor:
        # J is that of a(r(x); r0): the noise is part of what a method differentiates.
        return self._jacobian(self.to_pixels(v).unflatten(-1, self.point.image_shape))

    def _adjoint(self, u: Tensor) -> Tensor:
        return self.from_pixels(self._jacobian_adjoint(u).flatten(2))

    @property
    def noise(self) -> Noise | None:
        """Return the response noise; None for unit Gaussian noise."""
        return self.point.noise

    @property
    def subspace(self) -> PixelSubspace | None:
        """Return the pixel subspace; None for all pixels."""
        return self.point.subspace

    @property
    def num_responses(self) -> int:
        """Return the number of responses of the model, before a noise augments them."""
        noise = self.point.noise
        return self.shape.m if noise is None or not noise.depends_on_response else self.point.at.shape[1]

    @property
    def response_norm(self) -> float:
        """Return the norm of all responses in units of the noise: what the rounding of a forward pass is relative to."""
        noise, norm = self.point.noise, float(torch.linalg.vector_norm(self.response))
        if noise is None or not noise.depends_on_response:
            return norm
        # A logarithm may be near zero where the response and its rounding are not.
        return max(norm, float(torch.linalg.vector_norm(noise.whiten(self.point.at[:, None], self.point.at))))

    def to_pixels(self, v: Tensor) -> Tensor:
        """Return P v."""
        return v if self.point.subspace is None else self.point.subspace.to_pixels(v, self.point.image_shape)

    def from_pixels(self, pixels: Tensor) -> Tensor:
        """Return P^T of pixels."""
        return pixels if self.point.subspace is None else self.point.subspace.from_pixels(pixels, self.point.image_shape)

    def difference_quotient(self, v: Tensor, step: float) -> Tensor:
        """Return (a(x + step P v) - a(x)) / step for one vector of each image: (b, 1, n) -> (b, 1, m), without any derivative."""
        with torch.no_grad():
            moved = self.point.images + step * self.to_pixels(v)[:, 0].unflatten(-1, self.point.image_shape)
            change = self.point.response(moved).detach() - self.response
        return change[:, None] / step

    @property
    def images(self) -> Tensor:
        """Return the images (b, *image shape)."""
        return self.point.images

    def select(self, images: Sequence[int]) -> Operator:
        """Return the operator of some images, in the order given.

        On a CPU every image is linearised once by itself and kept, because images leave and rejoin a batch often. On other devices a batch
        is linearised as a whole, because batched products are cheaper there; the last two are kept.
        """
        if self.device.type == "cpu" and len(images) > 1:
            return Together([self._linearised((i,), keep=self.shape.b) for i in images])
        return self._linearised(tuple(images), keep=self.shape.b if self.device.type == "cpu" else 2)

    def _linearised(self, images: tuple[int, ...], keep: int) -> "JacobianOperator":
        if images not in self._selected:
            # A dict keeps the order of insertion: the oldest selection goes first.
            while len(self._selected) >= keep:
                self._selected.pop(next(iter(self._selected)))
            self._selected[images] = type(self)(self.point.of(images))
        return self._selected[images]


def check_graph(y: Tensor) -> None:
    """Refuse a response without a gradient.

    Raises:
        ModelError: naming the usual causes.
    """
    if not y.requires_grad:
        raise ModelError(
            "the model's response has no gradient with respect to the image. "
            "Remove torch.no_grad(), detach() or rounding from its forward pass."
        )


def no_dependence() -> ModelError:
    """Return the error of a response that is constant to first order."""
    return ModelError(
        "the response does not depend on the image: every derivative is zero. "
        "Choose another layer, model or image, or remove torch.no_grad() from the forward pass."
    )


def _check_response(response: Tensor) -> None:
    if not torch.isfinite(response).all():
        raise ModelError("the model's response has NaN or Inf values at this image. Check the image's range ([0, 1]) and the model.")


@contextmanager
def _differentiable_attention() -> Iterator[None]:
    """Compute attention by plain matrix products: fused kernels can be differentiated once at most, and here it is done twice."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _per_image(t: Tensor, b: int) -> Tensor:
    if t.is_complex():
        # Real and imaginary parts become two responses: |J v|^2 stays the same, and every product is real.
        t = torch.view_as_real(t)
    if b == 1:
        # One image: whatever the shape, all of it belongs to that image. With batched=False there is no leading axis at all.
        return t.reshape(1, -1)
    if t.ndim == 0 or t.shape[0] != b:
        raise ModelError(
            f"the model returned a tensor of shape {tuple(t.shape)} for a batch of {b} images; its first axis must run over images."
        )
    return t.reshape(b, -1)
