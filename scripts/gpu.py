"""What a product should take on a GPU, by arithmetic; and what it takes, where there is one.

*Kernels*: calls of torch that compute something. *Bytes*: what they read and write, each once; a GPU's cache saves a part where tensors are
small. *Time by arithmetic*: the larger of bytes by the memory's bandwidth and of operations by the peak rate outside tensor cores, which
float32 without TF32 needs; one H100 SXM: 3.35 TB/s and 67 TFLOP/s in float32 (NVIDIA's data sheet). Launching a kernel from Python is
taken as 5 microseconds, from a graph as 1; both are to be measured.

Run: python -m scripts.gpu [CASE ...]; cases as for scripts/scale.py.
"""

import sys
import time
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from eigexp.operators import linearise
from eigexp.operators.program import LinearisedProgram
from eigexp.operators.replay import captured
from eigexp.training.precision import full_precision
from scripts.scale import case_of

CASES = ["onoff256", "onoff1024", "resnet50-224", "vit-224"]
BANDWIDTH, RATE = 3.35e12, 67e12  # bytes and float32 operations a second
LAUNCH, REPLAY = 5e-6, 1e-6  # seconds a kernel
REPEATS, VECTORS = 50, 8
_NO_KERNEL = {"detach", "_reshape_alias", "empty", "empty_like", "empty_strided", "new_empty"}


class Counted(TorchDispatchMode):
    """Counts kernels, bytes and operations."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels, self.bytes, self.operations = 0, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run and count one call."""
        out = func(*args, **(kwargs or {}))
        if not func.is_view and func._schema.name.removeprefix("aten::") not in _NO_KERNEL:
            self.kernels += 1
            self.bytes += sum(t.numel() * t.itemsize for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor))
            count = flop_registry.get(func._overloadpacket)
            self.operations += count(*args, **(kwargs or {}), out_val=out) if count else 0
        return out


def main(names: list[str]) -> None:
    """Print a row for each case, with measured times where there is a GPU."""
    there = torch.cuda.is_available()
    device = torch.device("cuda" if there else "cpu")
    print(f"device: {torch.cuda.get_device_name() if there else 'none; arithmetic alone'}")
    measured = " | called, ms | replayed, ms | " + f"{VECTORS} at once, ms a vector" if there else ""
    print(f"| case | kernels | MB | GFLOP | memory, µs | arithmetic, µs | launches, µs | as a graph, µs{measured} |")
    print("|---" * (11 if there else 8) + "|")
    for name in names or CASES:
        case = case_of(name)
        with full_precision(device):
            A = linearise(case.model().to(device), case.image.to(device), method="program")
            assert isinstance(A, LinearisedProgram)
            v = torch.randn(1, 1, A.shape.n, generator=torch.Generator().manual_seed(0)).to(device)
            with Counted() as counted:
                A.fisher(v)
            memory, work = counted.bytes / BANDWIDTH, counted.operations / RATE
            numbers = [memory, work, counted.kernels * LAUNCH, max(memory, work, counted.kernels * REPLAY)]
            row = f"| {case.label} | {counted.kernels} | {counted.bytes / 1e6:.0f} | {counted.operations / 1e9:.2f} | "
            row += " | ".join(f"{1e6 * number:.0f}" for number in numbers)
            print(row + (f" | {' | '.join(times(A, v))}" if there else "") + " |", flush=True)


def times(A: LinearisedProgram, v: Tensor) -> list[str]:
    """Return milliseconds of a Fisher-vector product: called, replayed, and in a batch, per vector."""
    several, replay = v.expand(1, VECTORS, -1).contiguous(), captured(A)
    return [f"{1e3 * seconds(B, x) / x.shape[1]:.3f}" for B, x in ((A, v), (replay, v), (A, several))]


def seconds(A: Any, x: Tensor) -> float:
    """Return the smallest of five means over `REPEATS` products."""
    found = []
    for _ in range(5):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(REPEATS):
            A.fisher(x)
        torch.cuda.synchronize()
        found.append((time.perf_counter() - start) / REPEATS)
    return min(found)


if __name__ == "__main__":
    main(sys.argv[1:])
