"""Check autograd's derivative of a model at one image: against finite differences, at kinks, and in the dtype of the configuration."""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from eigexp.cli.check import Check
from eigexp.operators import JacobianOperator, linearise
from eigexp.operators.precision import converted

STEP = 1e-6  # of a finite difference: root mean square over the pixels
DERIVATIVE_RTOL = 1e-3  # difference of two derivatives of a response, relative to the root mean square over the responses
MAX_SHARE = 0.01  # of the responses that may differ or have a kink


@dataclass(frozen=True)
class Subject:
    """One layer of a model at one image, with the parts of the configuration that a task uses.

    Attributes:
        model: of images to responses.
        image: float tensor (1, c, h, w).
        parts: noise and pixel subspace, as `linearise` takes them.
        method: of linearising.
    """

    model: Callable[[Tensor], Any]
    image: Tensor
    parts: Mapping[str, Any]
    method: str

    @cached_property
    def operator(self) -> JacobianOperator:
        """The operator of a task."""
        return linearise(self.model, self.image, method=self.method, **self.parts)  # pyright: ignore[reportArgumentType]

    @cached_property
    def plain(self) -> JacobianOperator:
        """The Jacobian alone, without noise and subspace."""
        return linearise(self.model, self.image, method=self.method)  # pyright: ignore[reportArgumentType]

    def responses(self, image: Tensor) -> Tensor:
        """Return the responses (m) to an image, without a graph."""
        with torch.no_grad():
            return self.plain.point.response(image)[0]

    def derivative(self, direction: Tensor) -> Tensor:
        """Return the derivative (m) of the responses along a direction of the image's shape."""
        return self.plain.apply(direction.flatten()[None, None])[0, 0]

    def in_float64(self) -> "Subject":
        """Return a copy in float64."""
        model = copy.deepcopy(self.model)
        precise = converted(model, torch.float64) if isinstance(model, torch.nn.Module) else model
        return replace(self, model=precise, image=self.image.double())

    def direction(self) -> Tensor:
        """Return a fixed random direction, one per pixel in root mean square."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(self.image.shape, generator=generator, dtype=torch.float64).to(self.image)


def check_derivative(subject: Subject, tol: float) -> Iterator[Check]:
    """Check autograd's derivative against finite differences in float64, kinks at this image, and the error of the dtype.

    Args:
        subject: in the dtype of the configuration.
        tol: relative error of an eigenvalue that the solver is asked for.
    """
    try:
        exact = subject.in_float64()
        direction = exact.direction()
        derivative = exact.derivative(direction)
        step = STEP * direction
        here, up, down = (exact.responses(exact.image + change) for change in (0, step, -step))
    except Exception as error:  # deepcopy and double may fail in any way on a user's model
        yield Check("derivative", "warning", f"not checked: the model has no float64 copy: {type(error).__name__}: {error}")
        return
    right, left = (up - here) / STEP, (here - down) / STEP
    yield _compared(derivative, (right + left) / 2, (right - left).abs())
    yield _kinks(derivative, (right - left).abs())
    if subject.image.dtype != torch.float64:
        yield check_dtype(subject, derivative, tol)


def _compared(derivative: Tensor, difference: Tensor, jump: Tensor) -> Check:
    # At a kink autograd takes one of the one-sided derivatives, or one between: up to `jump` the difference is not an error.
    wrong = (derivative - difference).abs() > DERIVATIVE_RTOL * _rms(derivative) + jump
    share = float(wrong.double().mean())
    if share > MAX_SHARE:
        detail = f"autograd's derivative is not the derivative of the response: {share:.0%} of the responses differ from finite differences"
        return Check(
            "derivative", "problem", detail, "look for detach, straight-through estimators, gradient hooks or a custom backward pass"
        )
    return Check("derivative", "ok", "autograd agrees with finite differences in float64")


def _kinks(derivative: Tensor, jump: Tensor) -> Check:
    share = float((jump > DERIVATIVE_RTOL * _rms(derivative)).double().mean())
    if share > MAX_SHARE:
        detail = f"{share:.0%} of the responses have a kink at this image (ties in max-pooling, ReLU at 0)"
        return Check(
            "kinks", "warning", detail, "the result depends on the side that autograd takes; use an image without constant regions"
        )
    return Check("kinks", "ok", f"{share:.1%} of the responses have a kink at this image")


def check_dtype(subject: Subject, exact: Tensor, tol: float) -> Check:
    """Check the derivative in the dtype of the configuration against the one in float64."""
    name = str(subject.image.dtype).removeprefix("torch.")
    error = relative_difference(subject.derivative(subject.direction()), exact)
    detail = f"the derivative in {name} differs from that in float64 by {error:.1e}, relative to its norm"
    if error > tol:
        return Check("dtype", "warning", f"{detail}, more than solver.tol={tol:g}", "set dtype=float64")
    return Check("dtype", "ok", detail)


def _rms(values: Tensor) -> Tensor:
    return values.square().mean().sqrt()


def relative_difference(value: Tensor, reference: Tensor) -> float:
    """Return the norm of the difference relative to the norm of the reference; infinite if it is not finite."""
    scale = reference.double().norm()
    difference = (value.double() - reference.double()).norm()
    if not torch.isfinite(difference):
        return float("inf")
    return float(difference / scale) if scale > 0 else float(difference > 0)
