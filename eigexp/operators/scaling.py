"""Operations on tangents that multiply each entry by a constant, whatever their names: one product with a mask, a slope or a factor.

Their constants take the place of what the originals keep (whole activations, sometimes two), and neighbours can be multiplied together.
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
    """The call as a product (tangent, constant) where it is one, else as it is."""
    factor = _factor(function, args, kwargs, is_tangent)
    if factor is None:
        return function, args, kwargs
    tangent = next(a for a in args if isinstance(a, Tensor) and is_tangent(a))
    return MULTIPLY, (tangent, factor), {}


def _factor(function: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any], is_tangent: Callable[[Tensor], bool]) -> Tensor | None:
    tangents = [isinstance(a, Tensor) and is_tangent(a) for a in args]
    if sum(tangents) != 1:
        return None
    if function in _SLOPES and tangents[0]:
        return function(torch.ones_like(args[0]), *args[1:], **kwargs)
    if function in (aten.mul.Tensor, aten.mul.Scalar):
        position = tangents.index(True)
        other = args[1 - position]
        return other if isinstance(other, Tensor) else _number(other, args[position])
    if function in (aten.div.Tensor, aten.div.Scalar) and tangents[0]:
        return args[1].reciprocal() if isinstance(args[1], Tensor) else _number(1 / args[1], args[0]) if args[1] else None
    if function is aten.neg.default:
        return _number(-1.0, args[0])
    if function is aten.where.self and not tangents[0]:
        return _branch(args, tangents)
    return None


def _branch(args: Sequence[Any], tangents: Sequence[bool]) -> Tensor | None:
    """The mask of where(condition, tangent, 0) or where(condition, 0, tangent)."""
    condition, first, second = args
    other = second if tangents[1] else first
    if other.is_meta or other.any():
        return None
    one, zero = torch.ones_like(first if tangents[1] else second), torch.zeros_like(other)
    return torch.where(condition, one, zero) if tangents[1] else torch.where(condition, zero, one)


def _number(value: float, like: Tensor) -> Tensor:
    return torch.full((), value, dtype=like.dtype, device=like.device)
