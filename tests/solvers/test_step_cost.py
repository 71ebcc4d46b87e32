"""What a Krylov step costs beside its product: calls of torch, and numbers that the host waits for."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from eigexp.models import LinearNonlinear, OnOff
from eigexp.operators import Operator, linearise
from eigexp.solvers.krylov import Krylov
from eigexp.solvers.krylov.image_state import KrylovImage
from tests.solvers.photographs import coins
from tests.solvers.spectra import PROBLEMS, run

aten = torch.ops.aten
_READS = {aten._local_scalar_dense.default, aten.nonzero.default, aten.equal.default, aten.is_nonzero.default, aten.detach.default}


class PretendedDevice(TorchDispatchMode):
    """Counts calls, and reads of what would be on a device: tensors as long as an image, and what is computed from them.

    `detach` is a read: `Tensor.numpy` calls it, and nothing else in a step does.
    """

    def __init__(self, n: int):
        super().__init__()
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
            if there and (home or func in _READS):
                self.reads, self.longest = self.reads + 1, max(self.longest, *(x.numel() for x in there))
        if there and not home:
            self._there.update({x: True for x in tree_leaves(out) if isinstance(x, Tensor)})
        return out


def uncounted(device: PretendedDevice, product: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def made(block: Tensor) -> Tensor:
        device.counting = False
        try:
            return product(block)
        finally:
            device.counting = True

    return made


def same_work(before: KrylovImage, after: KrylovImage) -> bool:
    """Whether nothing began or ended between two states: no phase, no check, no structured vector, no restart."""
    return (before.phase, len(before.queue), before.restarts) == (after.phase, len(after.queue), after.restarts)


def steps(A: Operator, solver: Krylov) -> list[tuple[bool, int, int]]:
    """For each step: whether it goes on with the same work, calls beside the product, and reads."""
    device = PretendedDevice(A.shape.n)
    A.apply, A.adjoint = uncounted(device, A.apply), uncounted(device, A.adjoint)
    state, counts = solver.init(A, 0), []
    while not solver.done(state):
        device.calls = device.reads = 0
        before = state.images[0]
        with device:
            state = solver.step(A, state)
        counts.append((same_work(before, state.images[0]), device.calls, device.reads))
    assert 0 < device.longest < A.shape.n / 4
    return counts


@pytest.mark.parametrize(("model", "k"), [(OnOff, 1), (LinearNonlinear, 3)])
def test_a_step_makes_few_calls_and_waits_once(model, k):
    counts = steps(linearise(model(), coins(32)), Krylov(k=k))
    steady = [(calls, reads) for same, calls, reads in counts if same]
    assert len(steady) > 0.8 * len(counts)
    assert max(calls for calls, _ in steady) <= 40
    assert {reads for _, reads in steady} == {1}
    assert sum(reads for _, _, reads in counts) <= 1.5 * len(counts)


@pytest.mark.slow(0.7)
def test_a_restart_waits_no_more_often():
    counts = steps(linearise(OnOff(), coins(32)), Krylov(k=2, max_basis=24))
    assert max(reads for same, _, reads in counts if same) == 1


@pytest.mark.parametrize("problem", ["tall", "wide", "repeated top", "rank-deficient"])
def test_a_state_holds_one_vector_a_step(problem):
    solver, A = Krylov(), PROBLEMS[problem].operator()
    state = solver.init(A, 0)
    while not solver.done(state):
        image = state.images[0]
        held = (
            len(image.space.V.rows) + len(image.space.R) + (len(image.check.space.V.rows) + len(image.check.space.R) if image.check else 0)
        )
        assert held <= image.steps + 4
        state = solver.step(A, state)
    assert run(solver, A).images[0].steps == state.images[0].steps
