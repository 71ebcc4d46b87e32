"""Operations on tangents that multiply each entry by a constant, written as one product with a mask, a slope or a factor.

The constants replace what the original operations keep (whole activations, sometimes two), and successive ones can be multiplied together.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

aten = torch.ops.aten
MULTIPLY = aten.mul.Tensor

# The derivatives of elementwise functions: (tangent, constants ...) -> tangent * slope(constants).
_SLOPES = {
    aten.elu_backward.default,
    aten.gelu_backward.default,
    aten.hardshrink_backward.default,
    aten.hardsigmoid_backward.default,
    aten.hardswish_backward.default,
    aten.hardtanh_backward.default,
    aten.leaky_relu_backward.default,
    aten.log_sigmoid_backward.default,
    aten.logit_backward.default,
    aten.mish_backward.default,
    aten.sigmoid_backward.default,
    aten.silu_backward.default,
    aten.softplus_backward.default,
    aten.softshrink_backward.default,
    aten.tanh_backward.default,
    aten.threshold_backward.default,
}
_Call = tuple[OpOverload, Sequence[Any], Mapping[str, Any]]


def as_scaling(function: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any], is_tangent: Callable[[Tensor], bool]) -> _Call:
    """Return the call as a product (tangent, constant) where it is one, otherwise unchanged."""
    factor = _factor(function, args, kwargs, is_tangent)
    if factor is None:
        return function, args, kwargs
    tangent = next(a for a in args if isinstance(a, Tensor) and is_tangent(a))
    return MULTIPLY, (tangent, factor), {}


def _factor(function: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any], is_tangent: Callable[[Tensor], bool]) -> Tensor | None:
    tangents = [isinstance(a, Tensor) and is_tangent(a) for a in args]
    # Two tangents: a sum or a choice of both, not a product with a constant.
    if sum(tangents) != 1:
        return None
    if function in _SLOPES and tangents[0]:
        # Linear in the tangent, entry by entry: of ones it gives the slope itself.
        return function(torch.ones_like(args[0]), *args[1:], **kwargs)
    if function in (aten.mul.Tensor, aten.mul.Scalar):
        position = tangents.index(True)
        other = args[1 - position]
        return other if isinstance(other, Tensor) else _number(other, args[position])
    if function in (aten.div.Tensor, aten.div.Scalar) and tangents[0]:
        # Dividing by the number 0 stays a division, which gives Inf as in the model; 1 / 0 would raise an error here.
        return args[1].reciprocal() if isinstance(args[1], Tensor) else _number(1 / args[1], args[0]) if args[1] else None
    if function is aten.neg.default:
        return _number(-1.0, args[0])
    if function is aten.where.self and not tangents[0]:
        return _branch(args, tangents)
    return None


def _branch(args: Sequence[Any], tangents: Sequence[bool]) -> Tensor | None:
    """Return the mask of where(condition, tangent, 0) or where(condition, 0, tangent)."""
    condition, first, second = args
    other = second if tangents[1] else first
    # A branch of nonzero values adds a constant, and a meta tensor has no values to test.
    if other.is_meta or other.any():
        return None
    one, zero = torch.ones_like(first if tangents[1] else second), torch.zeros_like(other)
    return torch.where(condition, one, zero) if tangents[1] else torch.where(condition, zero, one)


def _number(value: float, like: Tensor) -> Tensor:
    return torch.full((), value, dtype=like.dtype, device=like.device)
