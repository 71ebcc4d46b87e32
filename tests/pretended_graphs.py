"""CUDA graphs on a machine without a GPU: what is captured is recorded below autograd, and replayed into the same memory."""

from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

READS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default, torch.ops.aten.equal.default}


class PretendedGraph(TorchDispatchMode):
    """A graph as `torch.cuda.CUDAGraph` is one: results of a capture are not computed, a replay reads and writes fixed memory."""

    made: ClassVar[list["PretendedGraph"]] = []

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[Tensor]]] = []
        self.replays = 0
        PretendedGraph.made.append(self)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in READS:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        out = func(*args, **(kwargs or {}))
        inside = {t.untyped_storage()._cdata for t in _tensors((args, kwargs))}
        found = _tensors(out)
        if func._schema.is_mutable or not all(t.untyped_storage()._cdata in inside for t in found):
            # By memory, as a GPU's kernels are recorded: a tensor may get other memory later.
            args, kwargs = tree_map_only(Tensor, Tensor.detach, (args, kwargs or {}))
            self.calls.append((func, args, kwargs, found))
        return out

    def end_capture(self) -> None:
        """Make results unusable before the first replay: a capture computes nothing."""
        written = [t for func, _, _, found in self.calls if not func._schema.is_mutable for t in found]
        for t in written:
            if t.is_floating_point():
                t.fill_(torch.nan)

    def replay(self) -> None:
        """Compute everything again, from what the memory holds now."""
        self.replays += 1
        with torch.no_grad():
            for func, args, kwargs, found in self.calls:
                for old, new in zip(found, _tensors(func(*args, **kwargs)), strict=True):
                    if old is not new:
                        old.copy_(new)


def _tensors(of: Any) -> list[Tensor]:
    return [t for t in tree_leaves(of) if isinstance(t, Tensor)]


class PretendedStream:
    def __init__(self, device: Any = None):
        self.device = device

    def wait_stream(self, other: Any) -> None:
        pass


@contextmanager
def pretended_capture(graph: PretendedGraph, stream: Any, capture_error_mode: str):
    with graph:
        yield
    graph.end_capture()


def pretend_graphs(monkeypatch: Any) -> None:
    """Replace what `eigexp.operators.replay` uses of torch.cuda."""
    PretendedGraph.made.clear()
    for name, stand_in in {
        "CUDAGraph": PretendedGraph,
        "Stream": PretendedStream,
        "graph": pretended_capture,
        "current_stream": PretendedStream,
        "stream": lambda stream: nullcontext(),
        "device": lambda device: nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
