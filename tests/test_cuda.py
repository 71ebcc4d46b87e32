"""On a GPU, where there is one: the numbers of the CPU, few waits, products as CUDA graphs and in batches, memory that is given back."""

import logging
import warnings

import pytest
import torch

from eigexp import certify, linearise
from eigexp.images import Image
from eigexp.models import LinearNonlinear, OnOff
from eigexp.operators.replay import ReplayedProgram, captured, replayed
from eigexp.solvers.krylov import Krylov
from eigexp.sweep.process import free_memory
from eigexp.sweep.worker import _run_within_memory
from eigexp.training import EigenModule, Task
from eigexp.training.precision import full_precision
from tests.operators.test_columns import MODELS, images
from tests.solvers.photographs import coins

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def solved(device, dtype, model=OnOff, images=1):
    pixels = torch.cat([coins(32 + i)[..., :32, :32] for i in range(images)]).to(device, dtype)
    solver = Krylov()
    with full_precision(torch.device(device)):
        A = linearise(model().to(device, dtype), pixels)
        state = solver.init(A, 0)
        while not solver.done(state):
            state = solver.step(A, state)
        return certify(A, solver.pairs(state), solver=solver, state=state)


@pytest.mark.parametrize(("dtype", "tol"), [(torch.float32, 1e-5), (torch.float64, 1e-8)])
@pytest.mark.parametrize("model", [OnOff, LinearNonlinear])
def test_eigenvalues_are_those_of_the_cpu(model, dtype, tol):
    (here,), (there,) = solved("cpu", dtype, model), solved("cuda", dtype, model)
    assert there.evidence == here.evidence
    scale = float(here.eigenvalues[0])
    torch.testing.assert_close(there.eigenvalues.cpu(), here.eigenvalues, rtol=0, atol=tol * scale)


def test_a_batch_has_the_eigenvalues_of_its_images():
    alone, (first, *_) = solved("cuda", torch.float64), solved("cuda", torch.float64, images=3)
    torch.testing.assert_close(first.eigenvalues, alone[0].eigenvalues, rtol=0, atol=1e-8 * float(first.eigenvalues[0]))


def test_matrix_products_keep_all_bits():
    x = torch.rand(256, 256, generator=torch.Generator().manual_seed(0)).cuda()
    with full_precision(x.device):
        error = (x @ x).double() - x.double() @ x.double()
    assert error.abs().max() < 1e-6 * 256


def test_a_step_waits_once():
    solver, A = Krylov(), linearise(OnOff().cuda(), coins(32).cuda())
    state, waits = solver.init(A, 0), []
    torch.cuda.set_sync_debug_mode("warn")
    try:
        while not solver.done(state):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                state = solver.step(A, state)
            waits.append(sum("synchronizing" in str(w.message) for w in caught))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert sum(waits) <= 1.5 * len(waits)


def small(method="auto", dtype=torch.float32):
    return linearise(OnOff().to("cuda", dtype), coins(32).to("cuda", dtype), method=method)


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).cuda()


def close(found, expected):
    return torch.linalg.vector_norm(found - expected) <= 1e-5 * torch.linalg.vector_norm(expected)


def test_convolutions_keep_all_bits():
    x, w = draw(1, 64, 32, 32), draw(64, 64, 3, 3)
    with full_precision(x.device):
        found = torch.conv2d(x, w)
    exact = torch.conv2d(x.double(), w.double())
    assert float((found - exact).abs().max()) < 1e-5 * float(exact.abs().max())


@pytest.mark.parametrize("name", MODELS)
def test_replays_are_the_products(name):
    model, channels = MODELS[name]
    with full_precision(torch.device("cuda")):
        A = linearise(model().cuda(), images(channels).cuda(), method="program")
        G = replayed(A)
        assert isinstance(G, ReplayedProgram)  # else the log says why the capture failed
        v, u = draw(1, 1, A.shape.n), draw(1, 1, A.shape.m)
        first = G.apply(v)
        assert close(G.apply(-v), -A.apply(v))
        assert close(first, A.apply(v))
        assert close(G.adjoint(u), A.adjoint(u))
        assert close(G.fisher(v), A.fisher(v))


def test_a_solve_by_graphs_is_that_without(caplog):
    found = []
    for cuda_graph in (False, True):
        module = EigenModule(Krylov(), cuda_graph=cuda_graph)
        module.to("cuda")
        module.begin(Task((Image("a", coins(32)[0]),), OnOff(), ("a",)))
        while not module.done:
            module._current.state, module._current.progress = module._current.next_step()
        (pairs,) = module.eigenpairs()
        found.append((pairs.eigenvalues, pairs.evidence))
        assert isinstance(module.operator, ReplayedProgram) == cuda_graph
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-6, atol=0)
    assert found[0][1] == found[1][1]
    assert "cuda_graph=true has no effect" not in caplog.text


def test_graphs_leave_no_memory():
    """Nor do their streams: on one of its own each would keep a workspace of cuBLAS."""
    captured(small("program"))  # libraries take their workspaces
    free_memory()
    before = torch.cuda.memory_reserved()
    for _ in range(3):
        assert isinstance(captured(small("program")), ReplayedProgram)
    free_memory()
    assert torch.cuda.memory_reserved() <= before


def test_where_a_capture_fails_products_go_on(caplog):
    A = small("program")
    v, run = draw(1, 1, A.shape.n), type(A.program).__call__
    expected = A.fisher(v)

    class Waiting(type(A.program)):
        def __call__(self, tangent):
            return run(self, tangent) * float(tangent.detach().norm()) / float(tangent.detach().norm())

    A.program.__class__ = Waiting
    assert captured(A) is A
    assert "cuda_graph=true has no effect" in caplog.text
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert close(A.fisher(v), expected)
    assert isinstance(captured(small("program")), ReplayedProgram)  # the next capture is not affected


@pytest.mark.parametrize("method", ["program", "double_backward"])
def test_the_vectors_of_a_block_are_multiplied_at_once(method):
    A = small(method)
    v, u = draw(1, 20, A.shape.n), draw(1, 20, A.shape.m)
    with full_precision(A.device):
        forward, back = A.apply(v), A.adjoint(u)
        assert A.columns.at_once > 1
        A.columns.at_once = 1
        assert close(forward, A.apply(v))
        assert close(back, A.adjoint(u))


def test_where_memory_runs_out_fewer_vectors_are_multiplied_at_once(caplog):
    caplog.set_level(logging.INFO)
    A = linearise(OnOff().cuda(), coins(256).cuda(), method="program")
    v = draw(1, 64, A.shape.n)
    expected = A.apply(v)
    torch.cuda.empty_cache()
    limit = torch.cuda.memory_allocated() + 300 * 2**20
    torch.cuda.set_per_process_memory_fraction(limit / torch.cuda.get_device_properties(0).total_memory)
    try:
        A.columns.at_once = 64
        found = A.apply(v)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "memory ran out in products of 64 vectors at once" in caplog.text
    assert close(found, expected)


def test_a_batch_too_large_is_halved_and_goes_on():
    tried = []

    def run(config, ids, cache):
        tried.append(config["images"]["batch_size"])
        if tried[-1] > 2:
            torch.empty(2**50, device="cuda")
        return "done"

    assert _run_within_memory({"images": {"batch_size": 8}}, list("abcdefgh"), run, None) == "done"
    assert tried == [8, 4, 2]


def test_tasks_leave_no_memory_to_the_next():
    module, most = EigenModule(Krylov()), []
    module.to("cuda")
    small("program").fisher(draw(1, 1, 32**2))  # libraries take their workspaces
    before = torch.cuda.memory_allocated()
    for name in "ab":
        torch.cuda.reset_peak_memory_stats()
        module.begin(Task((Image(name, coins(128)[0]),), OnOff(), (name,)))
        most.append(torch.cuda.max_memory_allocated())
    left_by_one = torch.cuda.memory_allocated() - before
    assert most[1] <= most[0] + left_by_one / 2


def test_certificates_are_computed_in_float64_on_the_gpu():
    devices = set()

    class Seen(OnOff):
        def forward(self, x):
            devices.add((x.device.type, x.dtype))
            return super().forward(x)

    (pairs,) = solved("cuda", torch.float32, Seen)
    assert ("cuda", torch.float64) in devices
    assert pairs.verified
    assert not any("certified in" in note for note in pairs.notes)
