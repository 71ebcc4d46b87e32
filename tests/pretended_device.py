"""Counts what a GPU would have to wait for, on a machine without one."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

aten = torch.ops.aten
_READS = {aten._local_scalar_dense.default, aten.nonzero.default, aten.equal.default, aten.is_nonzero.default}


class PretendedDevice(TorchDispatchMode):
    """Counts calls, and reads of what would be on a device: tensors as long as an image, and what is computed from them.

    `Tensor.numpy` is seen as a `detach`, which backward passes call too, without a read; `backward` says that they are expected.
    """

    def __init__(self, n: int, backward: bool = False):
        super().__init__()
        self.read_by = _READS if backward else {*_READS, aten.detach.default}
        self.n, self.calls, self.reads, self.longest = n, 0, 0, 0
        self.counting = True
        self._there = WeakTensorKeyDictionary()

    def on_device(self, x: Any) -> bool:
        return isinstance(x, Tensor) and (x in self._there or x.untyped_storage().nbytes() >= self.n * x.itemsize)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        there = [x for x in tree_leaves((args, kwargs)) if self.on_device(x)]
        home = func is aten.copy_.default and not self.on_device(args[0])
        out = func(*args, **(kwargs or {}))
        if self.counting:
            self.calls += 1
            if there and (home or func in self.read_by):
                self.reads, self.longest = self.reads + 1, max(self.longest, *(x.numel() for x in there))
        if there and not home:
            self._there.update({x: True for x in tree_leaves(out) if isinstance(x, Tensor)})
        return out
