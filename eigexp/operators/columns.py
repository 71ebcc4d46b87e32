"""Products of the k vectors of a block: one after the other on a CPU, in batches on a GPU, which small kernels leave idle."""

import logging
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from eigexp.errors import is_out_of_memory

log = logging.getLogger(__name__)

_MOST = 64  # vectors of a batch: more save no time where one of them has a kernel's worth of entries
_SHARE = 4  # a batch may take one part in so many of a GPU's memory

Product = Callable[[Tensor], Tensor]


class Columns:
    """Apply the product of one vector an image to all k of a block (b, k, ...).

    Attributes:
        at_once: vectors of a batch; 1 multiplies one after the other, so that results do not depend on the block's width. None until it
            is known, which on a GPU takes one product that measures the memory of a vector.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.at_once: int | None = 1 if device.type != "cuda" else None

    def __call__(self, product: Product, block: Tensor) -> Tensor:
        """Return `product` of each vector, (b, k, ...)."""
        if block.shape[1] == 1:
            return product(block[:, 0].contiguous())[:, None]
        if self.at_once is None:
            self.at_once = max(
                1, min(_MOST, _memory(self.device) // _SHARE // _peak(partial(product, block[:, 0].contiguous()), self.device))
            )
        # What no longer fits, another process having taken memory, or has no rule for batches, is tried again in smaller parts.
        while self.at_once > 1:
            try:
                return torch.cat([_batched(product, part) for part in block.split(self.at_once, dim=1)], dim=1)
            except RuntimeError as error:
                fewer = self._fewer(self.at_once, error)
            self.at_once = fewer
            torch.cuda.empty_cache()  # nothing on a CPU; within the block above the error would keep the batch's memory
        return one_by_one(product, block)

    def _fewer(self, at_once: int, error: RuntimeError) -> int:
        if is_out_of_memory(error):
            log.info("memory ran out in products of %d vectors at once; trying %d", at_once, at_once // 2)
            return at_once // 2
        log.info("vectors are multiplied one after the other, because their batch failed: %s", " ".join(str(error).split())[:160])
        return 1


def one_by_one(product: Product, block: Tensor) -> Tensor:
    """Return `product` of each of the k vectors of a block (b, k, ...), one after the other."""
    return torch.stack([product(block[:, j].contiguous()) for j in range(block.shape[1])], dim=1)


def _batched(product: Product, block: Tensor) -> Tensor:
    # k = 1 is what is left over at the end; a batch of one costs more than the product itself.
    return product(block[:, 0].contiguous())[:, None] if block.shape[1] == 1 else torch.func.vmap(product, in_dims=1, out_dims=1)(block)


def _memory(device: torch.device) -> int:
    # All of it, and not what is free: the batch, and with it the last digits, should be the same in every run.
    return torch.cuda.get_device_properties(device).total_memory


def _peak(compute: Callable[[], Tensor], device: torch.device) -> int:
    """Return the bytes that a computation takes on a GPU beyond what is there already, at least 1."""
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    compute()
    return max(1, torch.cuda.max_memory_allocated(device) - before)
