"""A model linearised at a batch of images: products with its Jacobian, by three ways that `linearise` chooses among.

double_backward  the gradient of a gradient, on one cached graph (A v costs about one backward pass; works for every model)
forward          A v by forward-mode differentiation, A^T u on a cached graph (cheaper for some models, fails for others)
dense            the explicit Jacobian (for small models, many vectors)
"""

import logging
import time
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import forward_ad

from eigexp.errors import ConfigurationError, ImageError, ModelError, OperatorError, nearest
from eigexp.operators.base import OperatorShape, SensitivityOperator
from eigexp.operators.dense import dense_matrix
from eigexp.operators.noise import Noise
from eigexp.operators.subspace import PixelSubspace

Way = Literal["double_backward", "forward", "dense"]
log = logging.getLogger(__name__)

_DENSE_BYTES = 64 * 2**20
_CLEARLY_FASTER = 0.75


def linearise(
    model: Callable[[Tensor], Any],
    images: Tensor,
    *,
    way: Literal["auto", "double_backward", "forward", "dense"] = "auto",
    noise: Noise | None = None,
    subspace: PixelSubspace | None = None,
    batched: bool = True,
) -> "JacobianOperator":
    """The sensitivity operator A = W^(1/2) J P of a model at a batch of images.

    Args:
        model: maps images to responses: a tensor, or any nesting of tuples, lists and dicts of tensors, which are concatenated.
        images: float tensor (b, *image shape).
        way: how products are made; "auto" keeps double_backward unless another way passes the adjoint test and is clearly faster.
        noise: response noise; None for unit Gaussian noise.
        subspace: pixel subspace; None for all pixels.
        batched: False calls the model with the only image, without the leading axis.

    Raises:
        ImageError: if the images are not finite floats, or several where the model takes one.
        ModelError: if the response is not finite, cannot be differentiated, or does not depend on the image.
        ConfigurationError: if `way` is unknown.
        OperatorError: if the way asked for fails the adjoint test.
    """
    ways: dict[str, type[JacobianOperator]] = {w.way: w for w in (DoubleBackward, ForwardMode, ExplicitJacobian)}
    if way != "auto" and way not in ways:
        raise ConfigurationError(f"linearise={way} is not a way to linearise. {nearest(way, ['auto', *ways])}")
    _check_images(images, batched)
    point = LinearisationPoint(model, images.detach(), noise, subspace, batched)
    if way != "auto":
        return _tested(ways[way](point))
    reference = _tested(DoubleBackward(point))
    return _fastest(reference, [ForwardMode, ExplicitJacobian])


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
        """Shape of one image."""
        return tuple(self.images.shape[1:])

    def response(self, images: Tensor) -> Tensor:
        """Responses (b, m) of the model to images (b, *image shape), with their graph."""
        b = len(images)
        output = self.model(images if self.batched else images[0])
        return torch.cat([_per_image(t, b) for t in _tensors(output)], dim=1)


class JacobianOperator(SensitivityOperator):
    """Base of the ways: wraps products with J by the noise and the pixel subspace."""

    way: str

    def __init__(self, point: LinearisationPoint):
        self.point = point
        self.dtype, self.device = point.images.dtype, point.images.device
        self.response = self._prepare().detach()
        _check_response(self.response)
        shape = point.image_shape
        n = point.subspace.dimension(shape) if point.subspace else torch.Size(shape).numel()
        b, m = self.response.shape
        self.shape = OperatorShape(b, m, n)
        self._selected: dict[tuple[int, ...], JacobianOperator] = {}

    @abstractmethod
    def _prepare(self) -> Tensor:
        """Linearise; returns the responses (b, m)."""

    @abstractmethod
    def _jacobian(self, v: Tensor) -> Tensor:
        """J v: pixels (b, k, *image shape) -> (b, k, m)."""

    @abstractmethod
    def _jacobian_adjoint(self, u: Tensor) -> Tensor:
        """J^T u: (b, k, m) -> pixels (b, k, *image shape)."""

    def _apply(self, v: Tensor) -> Tensor:
        u = self._jacobian(self.to_pixels(v).unflatten(-1, self.point.image_shape))
        return self._whiten(u)

    def _adjoint(self, u: Tensor) -> Tensor:
        return self.from_pixels(self._jacobian_adjoint(self._whiten(u)).flatten(2))

    def _whiten(self, u: Tensor) -> Tensor:
        return u if self.point.noise is None else self.point.noise.whiten(u, self.response)

    def to_pixels(self, v: Tensor) -> Tensor:
        """P v."""
        return v if self.point.subspace is None else self.point.subspace.to_pixels(v, self.point.image_shape)

    def from_pixels(self, pixels: Tensor) -> Tensor:
        """P^T of pixels."""
        return pixels if self.point.subspace is None else self.point.subspace.from_pixels(pixels, self.point.image_shape)

    @property
    def images(self) -> Tensor:
        """The images (b, *image shape)."""
        return self.point.images

    def select(self, images: Sequence[int]) -> "JacobianOperator":
        """The operator of some images, linearised anew in the same way; the last two selections are kept."""
        key = tuple(images)
        if key not in self._selected:
            while len(self._selected) >= 2:
                self._selected.pop(next(iter(self._selected)))
            p = self.point
            self._selected[key] = type(self)(LinearisationPoint(p.model, p.images[list(key)], p.noise, p.subspace, p.batched))
        return self._selected[key]


class DoubleBackward(JacobianOperator):
    """J v as the derivative of the (linear) map u -> J^T u, on a graph that is made once."""

    way = "double_backward"

    def _prepare(self) -> Tensor:
        with torch.enable_grad():
            self._x = self.point.images.clone().requires_grad_()
            self._y = self.point.response(self._x)
            _check_graph(self._y)
            self._cotangent = torch.zeros_like(self._y, requires_grad=True)
            (self._back,) = torch.autograd.grad(self._y, self._x, self._cotangent, create_graph=True, allow_unused=True)
        if self._back is None:
            raise ModelError("the response does not depend on the image: every derivative is zero. Choose another layer or model.")
        return self._y

    def _jacobian(self, v: Tensor) -> Tensor:
        if not self._back.requires_grad:
            return v.new_zeros(v.shape[0], v.shape[1], self.shape.m)
        return _columns(lambda t: torch.autograd.grad(self._back, self._cotangent, t, retain_graph=True)[0], v)

    def _jacobian_adjoint(self, u: Tensor) -> Tensor:
        return _columns(lambda t: torch.autograd.grad(self._y, self._x, t, retain_graph=True)[0], u)


class ForwardMode(JacobianOperator):
    """J v by forward-mode differentiation, J^T u by a backward pass on a cached graph."""

    way = "forward"

    def _prepare(self) -> Tensor:
        with torch.enable_grad():
            self._x = self.point.images.clone().requires_grad_()
            self._y = self.point.response(self._x)
        _check_graph(self._y)
        return self._y

    def _jacobian(self, v: Tensor) -> Tensor:
        return _columns(self._pushforward, v)

    def _pushforward(self, tangent: Tensor) -> Tensor:
        with torch.no_grad(), warnings.catch_warnings(), forward_ad.dual_level():
            warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=FutureWarning)  # of torch's own decompositions
            y = self.point.response(forward_ad.make_dual(self.point.images, tangent))
            pushed = forward_ad.unpack_dual(y).tangent
        return torch.zeros_like(self._y) if pushed is None else pushed

    def _jacobian_adjoint(self, u: Tensor) -> Tensor:
        return _columns(lambda t: torch.autograd.grad(self._y, self._x, t, retain_graph=True, materialize_grads=True)[0], u)


class ExplicitJacobian(JacobianOperator):
    """J as a matrix (b, m, pixels), made once by min(m, pixels) products of the cached graph."""

    way = "dense"

    def _prepare(self) -> Tensor:
        plain = LinearisationPoint(self.point.model, self.point.images, None, None, self.point.batched)
        source = DoubleBackward(plain)
        self.matrix = dense_matrix(source)
        return source.response

    def _jacobian(self, v: Tensor) -> Tensor:
        return v.flatten(2) @ self.matrix.mT

    def _jacobian_adjoint(self, u: Tensor) -> Tensor:
        return (u @ self.matrix).unflatten(-1, self.point.image_shape)


def _columns(product: Callable[[Tensor], Tensor], block: Tensor) -> Tensor:
    """`product` of each of the k vectors of a block (b, k, ...), stacked as (b, k, ...)."""
    return torch.stack([product(block[:, j].contiguous()) for j in range(block.shape[1])], dim=1)


def _fastest(reference: JacobianOperator, others: list[type[JacobianOperator]]) -> JacobianOperator:
    best, best_time = reference, _seconds(reference)
    for other in others:
        if other is ExplicitJacobian and not _small(reference):
            continue
        try:
            candidate = _tested(other(reference.point))
        except (RuntimeError, NotImplementedError, OperatorError) as error:
            log.debug("linearise: %s does not work for this model (%s)", other.way, error)
            continue
        seconds = _seconds(candidate)
        if seconds < _CLEARLY_FASTER * best_time:
            best, best_time = candidate, seconds
    return best


def _small(A: JacobianOperator) -> bool:
    b, m, _ = A.shape
    pixels = torch.Size(A.point.image_shape).numel()
    return min(m, pixels) <= 64 and b * m * pixels * A.dtype.itemsize <= _DENSE_BYTES


def _seconds(A: JacobianOperator, repeats: int = 3) -> float:
    v, _ = _probe(A)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        A.fisher(v)
        if A.device.type == "cuda":
            torch.cuda.synchronize(A.device)
        times.append(time.perf_counter() - start)
    return min(times)


def _probe(A: SensitivityOperator) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    v, u = (torch.randn(A.shape.b, 1, size, generator=generator, dtype=torch.float64) for size in (A.shape.n, A.shape.m))
    return v.to(A.device, A.dtype), u.to(A.device, A.dtype)


def _tested(A: JacobianOperator) -> JacobianOperator:
    """The operator, if <u, A v> = <A^T u, v> on a random probe of each image."""
    v, u = _probe(A)
    forward, back = A.apply(v), A.adjoint(u)
    if not (torch.isfinite(forward).all() and torch.isfinite(back).all()):
        raise ModelError(
            "the model's derivative at this image is not finite (NaN or Inf), as that of sqrt at 0 is. "
            "Move the image off such a point (a constant region, often), or smooth the model there."
        )
    left, right = (u * forward).double().sum(dim=(1, 2)), (back * v).double().sum(dim=(1, 2))
    scale = forward.double().norm(dim=2).squeeze(1) * u.double().norm(dim=2).squeeze(1) + back.double().norm(dim=2).squeeze(1)
    if (back.abs().amax(dim=(1, 2)) == 0).any():
        raise ModelError("the response does not depend on the image: every derivative is zero. Choose another layer, model or image.")
    if ((left - right).abs() > 1e3 * torch.finfo(A.dtype).eps * scale).any():
        raise OperatorError(
            f"linearise={A.way} fails the adjoint test: <u, A v> = {left.tolist()}, <A^T u, v> = {right.tolist()}. Force another way."
        )
    return A


def _check_images(images: Tensor, batched: bool) -> None:
    if not batched and len(images) != 1:
        raise ImageError(f"batched=False takes one image, but got {len(images)}. Linearise them one by one, or give batched=True.")
    if not images.is_floating_point():
        raise ImageError(f"images must be floating point, but are {images.dtype}. Convert them: image.float() / 255, say.")
    if images.dtype not in (torch.float32, torch.float64):
        raise ImageError(f"images are {images.dtype}, too coarse for eigenvalues. Convert them: image.float(), or image.double().")
    if not torch.isfinite(images).all():
        raise ImageError("the image has NaN or Inf pixels. Mend or leave out that image.")


def _check_response(response: Tensor) -> None:
    if not torch.isfinite(response).all():
        raise ModelError("the model's response has NaN or Inf values at this image. Check the image's range ([0, 1]) and the model.")


def _check_graph(y: Tensor) -> None:
    if not y.requires_grad:
        raise ModelError(
            "the model's response has no gradient with respect to the image. "
            "Remove torch.no_grad(), detach() or rounding from its forward pass."
        )


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors(value)
    else:
        raise ModelError(f"the model returned a {type(output).__name__}; it must return a tensor, or tuples, lists or dicts of tensors.")


def _per_image(t: Tensor, b: int) -> Tensor:
    if t.is_complex():
        t = torch.view_as_real(t)
    if b == 1:
        return t.reshape(1, -1)
    if t.ndim == 0 or t.shape[0] != b:
        raise ModelError(
            f"the model returned a tensor of shape {tuple(t.shape)} for a batch of {b} images; its first axis must run over images."
        )
    return t.reshape(b, -1)
