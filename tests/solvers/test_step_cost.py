"""What a Krylov step costs beside its product: calls of torch, and numbers that the host waits for."""

from collections.abc import Callable

import pytest
from torch import Tensor

from eigexp.models import LinearNonlinear, OnOff
from eigexp.operators import Operator, linearise
from eigexp.solvers.krylov import Krylov
from eigexp.solvers.krylov.image_state import KrylovImage
from tests.pretended_device import PretendedDevice
from tests.solvers.photographs import coins
from tests.solvers.spectra import PROBLEMS, run


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
