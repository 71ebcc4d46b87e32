"""Forward mode through convolutions and batch normalisation in evaluation mode, without the derivatives of their constants.

Torch's own rules also run the terms of the weights and of the statistics, whose derivatives are zeros: a second convolution, or some forty
small operations. Here the constants are constants; what is left is the same numbers.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class ConstantLayers(TorchFunctionMode):
    """Differentiate calls whose input alone has a tangent by the rules of this module, within a level of forward mode."""

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        """Run one call of torch."""
        kwargs = kwargs or {}
        rule = _RULES.get(func)
        if rule is None or not args or not isinstance(args[0], Tensor):
            return func(*args, **kwargs)
        x, tangent = forward_ad.unpack_dual(args[0])
        others = [a for a in (*args[1:], *kwargs.values()) if isinstance(a, Tensor)]
        # A weight that depends on the image has a tangent, too; then the whole rule is needed.
        if tangent is None or any(forward_ad.unpack_dual(a).tangent is not None for a in others):
            return func(*args, **kwargs)
        pushed = rule(tangent, *args[1:], **kwargs)
        return func(*args, **kwargs) if pushed is None else forward_ad.make_dual(func(x, *args[1:], **kwargs), pushed)


def _convolution(convolution: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def rule(tangent: Tensor, weight: Tensor, bias: Tensor | None = None, *settings: Any, **named: Any) -> Tensor:
        return convolution(tangent, weight, None, *settings, **named)

    return rule


def _batch_norm(
    tangent: Tensor,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    """Return the tangent of F.batch_norm with fixed statistics; None where they are those of the batch, which depend on the image."""
    if training or mean is None or variance is None:
        return None
    shape = (1, -1, *[1] * (tangent.ndim - 2))
    pushed = tangent * (1 / (variance + eps).sqrt()).view(shape)
    return pushed if weight is None else pushed * weight.view(shape)


_RULES: dict[Any, Callable[..., Tensor | None]] = {
    **{convolution: _convolution(convolution) for convolution in (torch.conv1d, torch.conv2d, torch.conv3d)},
    F.batch_norm: _batch_norm,
}
