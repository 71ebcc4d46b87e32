"""Convolutions as linear maps of their input, for double backward: torch's own second derivative also computes that of the weight.

The second derivative of a convolution computes the gradient of its weight whether or not anyone asks, which takes longer than all the rest
(torch 2.14). Where the weight is a constant only the input matters, and the second derivative is the convolution itself. A grouped
convolution in float64 is a loop over its groups on a CPU; small ones are one batched product here, of the same sums in the same order.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

aten = torch.ops.aten

_FEW_PIXELS = 400  # of the input: larger planes outweigh the loop over groups, and their unfolded copies need memory
_DEFAULTS: tuple[Any, ...] = (None, 1, 0, 1, 1)  # bias, stride, padding, dilation, groups of torch.conv2d

Settings = tuple[tuple[int, int], tuple[int, int], tuple[int, int], int]


class ConstantConvolutions(TorchFunctionMode):
    """Compute each two-dimensional convolution with a constant weight by a function whose derivatives are those of a linear map.

    For reverse mode only: forward mode and torch.func have no rule for it, and fail.
    """

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        """Run one call of torch."""
        if func is torch.conv2d and not kwargs:
            x, weight, bias, *settings = (*args, *_DEFAULTS[len(args) - 2 :])
            # A weight that is not a leaf may depend on the image; padding may be a word, and an image may come without a batch.
            if weight.is_leaf and not isinstance(settings[1], str) and x.ndim == 4:
                y = _Convolution.apply(x, weight, (*(_pair(s) for s in settings[:3]), settings[3]))
                return y if bias is None else y + bias.view(-1, 1, 1)
        return func(*args, **(kwargs or {}))


class _Convolution(torch.autograd.Function):
    """x -> W x, whose gradient is g -> W^T g, whose gradient is W again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, settings: Settings) -> Tensor:
        ctx.constants = weight, x.shape, settings
        return _convolved(x, weight, settings)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Adjoint.apply(*gradients, *ctx.constants), None, None


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, weight: Tensor, shape: torch.Size, settings: Settings) -> Tensor:
        ctx.constants = weight, settings
        return _adjoint(g, weight, shape, settings)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Convolution.apply(*gradients, *ctx.constants), None, None, None


def one_product(x: Tensor, weight: Tensor, bias: None, stride: Any, padding: Any, dilation: Any, *others: Any) -> Tensor:
    """Return what torch.ops.aten.convolution returns of a call that `is_slow`."""
    return _convolved(x, weight, (_pair(stride), _pair(padding), _pair(dilation), others[-1]))


def is_slow(shape: Sequence[int], weight: Any, bias: Any, *settings: Any) -> bool:
    """Return whether a call of torch.ops.aten.convolution is better computed by `one_product`: images of that shape, and its arguments."""
    transposed, groups = settings[-3], settings[-1]
    return isinstance(weight, Tensor) and len(shape) == 4 and bias is None and not transposed and _is_loop(weight, shape, groups)


def _convolved(x: Tensor, weight: Tensor, settings: Settings) -> Tensor:
    stride, padding, dilation, groups = settings
    if not _is_loop(x, x.shape, groups):
        return torch.conv2d(x, weight, None, *settings)
    windows = F.unfold(x, _sides(weight), dilation, padding, stride)
    sides = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, p, d, k, s in zip(x.shape[2:], padding, dilation, weight.shape[2:], stride, strict=True)
    ]
    return (_by_group(weight, groups) @ windows.unflatten(1, (groups, -1))).reshape(len(x), -1, *sides)


def _adjoint(g: Tensor, weight: Tensor, shape: torch.Size, settings: Settings) -> Tensor:
    stride, padding, dilation, groups = settings
    if not _is_loop(g, shape, groups):
        like = g.new_empty(1).expand(shape)  # only its shape matters
        return aten.convolution_backward(g, like, weight, None, *settings[:3], False, [0, 0], groups, [True, False, False])[0]
    windows = _by_group(weight, groups).mT @ g.flatten(2).unflatten(1, (groups, -1))
    return F.fold(windows.flatten(1, 2), _sides(shape), _sides(weight), dilation, padding, stride)


def _is_loop(t: Tensor, shape: Sequence[int], groups: int) -> bool:
    return groups > 1 and t.dtype == torch.float64 and t.device.type == "cpu" and math.prod(shape[2:]) <= _FEW_PIXELS


def _by_group(weight: Tensor, groups: int) -> Tensor:
    return weight.reshape(groups, len(weight) // groups, -1)


def _sides(of: Any) -> Any:
    return tuple(of.shape if isinstance(of, Tensor) else of)[2:]


def _pair(number: Any) -> tuple[int, int]:
    return (number, number) if isinstance(number, int) else tuple(number) if len(number) == 2 else (number[0], number[0])
