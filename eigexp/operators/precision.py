"""A model in another precision, its complex buffers included."""

from typing import TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


def converted(model: Model, dtype: torch.dtype, device: torch.device | None = None) -> Model:
    """Convert a model in place: real parameters and buffers to `dtype`, complex ones to its complex counterpart. Returns the model.

    `Module.to(torch.float64)` makes complex tensors real, which loses their imaginary parts, and `Module.double()` leaves them at single
    precision, whose rounding then shows in float64 products: a steerable pyramid has such filters.

    Args:
        model: changed.
        dtype: real.
        device: to move to; None leaves it where it is.
    """

    def convert(t: Tensor) -> Tensor:
        kind = dtype.to_complex() if t.is_complex() else dtype if t.is_floating_point() else t.dtype
        return t.to(device=device, dtype=kind)

    return model._apply(convert)
