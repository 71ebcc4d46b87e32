"""Choose the method by which a model is linearised.

program          its derivative, recorded once as a linear program (about two forward passes a Fisher-vector product; most models)
double_backward  the gradient of a gradient, on one cached graph (every model that can be differentiated twice)
forward          A v by forward-mode differentiation, A^T u on a cached graph
dense            the explicit Jacobian (few responses or few pixels)
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from eigexp.errors import ConfigurationError, EigexpError, ImageError, ModelError, OperatorError, is_out_of_memory, nearest, raised_in
from eigexp.noise import Noise
from eigexp.operators.autograd import DoubleBackward, ForwardMode
from eigexp.operators.explicit import ExplicitJacobian
from eigexp.operators.function_check import check_function
from eigexp.operators.jacobian import JacobianOperator, LinearisationPoint
from eigexp.operators.probe import tested
from eigexp.operators.program import LinearisedProgram, program_or_double_backward, tested_program
from eigexp.subspace import PixelSubspace

METHODS: dict[str, type[JacobianOperator]] = {w.method: w for w in (LinearisedProgram, DoubleBackward, ForwardMode, ExplicitJacobian)}
# The matrix costs min(m, pixels) products: up to 32, fewer than the shortest run of a solver takes.
_DENSE_SIDE = 32
# With few responses but large images the matrices of a batch can still be large.
_DENSE_BYTES = 64 * 2**20


def linearise(
    model: Callable[[Tensor], Any],
    images: Tensor,
    *,
    method: Literal["auto", "program", "double_backward", "forward", "dense"] = "auto",
    noise: Noise | None = None,
    subspace: PixelSubspace | None = None,
    batched: bool = True,
) -> JacobianOperator:
    """Return the sensitivity operator A = (da/dr) J P of a model at a batch of images.

    Args:
        model: maps images to responses: a tensor, or any nesting of tuples, lists and dicts of tensors, which are concatenated.
        images: float tensor (b, *image shape).
        method: how products are computed; "auto" uses dense for at most 32 responses or pixels, program if the model can be recorded and
            the program agrees with the model's own backward pass, and double_backward otherwise. The choice does not depend on
            timings, so it is the same in every run.
        noise: response noise; None for unit Gaussian noise.
        subspace: pixel subspace; None for all pixels.
        batched: False calls the model with the only image, without the leading axis.

    Raises:
        ImageError: if the images are not finite floats, or several where the model takes one.
        ModelError: if the model fails on the images, or the response is not finite, cannot be differentiated, or does not depend on them.
        ConfigurationError: if `method` is unknown.
        OperatorError: if the requested method cannot be used, or fails the adjoint test.
        MemoryLimitError: if an explicit Jacobian was requested and does not fit into memory.
    """
    if method != "auto" and method not in METHODS:
        raise ConfigurationError(f"linearise={method} is unknown. {nearest(method, ['auto', *METHODS])}")
    _check_images(images, batched)
    point = LinearisationPoint(model, images.detach(), noise, subspace, batched)
    try:
        return _linearised(point, method)
    # These say what to do. Any other error may come from the model, which a plain forward pass then shows.
    except EigexpError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        _check_model(point)
        if method == "auto" or not isinstance(error, RuntimeError):  # of which NotImplementedError is one
            raise
        words = " ".join(str(error).split()).rstrip(".")
        raise OperatorError(f"linearise={method} cannot be used for this model: {words}. Set linearise=auto.") from error


def _linearised(point: LinearisationPoint, method: str) -> JacobianOperator:
    if method == "program":
        return tested_program(point)
    if method != "auto":
        # First of all: a random model would fail the adjoint test too, but with a message that points to the method.
        check_function(point)
        return tested(METHODS[method](point))
    # Dense is considered second, because m is known only after a forward pass.
    operator = program_or_double_backward(point)
    return tested(ExplicitJacobian(point)) if _small(operator) else operator


def _check_model(point: LinearisationPoint) -> None:
    """Run one forward pass, to check that the model accepts such images.

    Raises:
        ModelError: with the model's own message, and the image settings that are most often wrong.
    """
    try:
        with torch.no_grad():
            point.response(point.images)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        words = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        shape = "x".join(map(str, point.image_shape))
        raise ModelError(
            f"the model fails on images of {shape}: {words}{raised_in(error)}. "
            "If they have the wrong channels or size, set images.grey=true|false or images.size."
        ) from error


def _small(A: JacobianOperator) -> bool:
    """Return whether the explicit Jacobian costs less than the shortest run."""
    b, m, _ = A.shape
    pixels = torch.Size(A.point.image_shape).numel()
    return min(m, pixels) <= _DENSE_SIDE and b * m * pixels * A.dtype.itemsize <= _DENSE_BYTES


def _check_images(images: Tensor, batched: bool) -> None:
    if not batched and len(images) != 1:
        raise ImageError(f"batched=False takes one image, but got {len(images)}. Linearise them one by one, or give batched=True.")
    if not images.is_floating_point():
        raise ImageError(f"images must be floating point, but are {images.dtype}. Convert them, for example with image.float() / 255.")
    # Rounding is about eps * lambda_1, and eps is 1e-3 in float16, 8e-3 in bfloat16: no small eigenvalue would survive it.
    if images.dtype not in (torch.float32, torch.float64):
        raise ImageError(
            f"images are {images.dtype}, which is not precise enough for eigenvalues. Convert them: image.float(), or image.double()."
        )
    if not torch.isfinite(images).all():
        raise ImageError("the image has NaN or Inf pixels. Fix or remove that image.")
