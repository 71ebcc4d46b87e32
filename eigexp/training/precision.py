"""Full float32 precision on GPUs: TF32 keeps 10 bits of mantissa, too few for relative residuals of 1e-5."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Switch TF32 off for matrix products and convolutions within the block, and restore it afterwards. No effect on other devices."""
    if device.type != "cuda":
        yield
        return
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, cast(Any, torch.backends.cudnn).conv, cast(Any, torch.backends.cudnn).rnn)
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
