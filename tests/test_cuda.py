"""On a GPU, where there is one: the numbers of the CPU, few waits, and products that can be captured as a graph."""

import warnings

import pytest
import torch

from eigexp import certify, linearise
from eigexp.models import LinearNonlinear, OnOff
from eigexp.solvers.krylov import Krylov
from eigexp.training.precision import full_precision
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


def test_products_can_be_captured_as_a_graph():
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    with torch.cuda.stream(stream):  # a backward pass runs on the stream that made its graph
        A = linearise(OnOff().cuda(), coins(32).cuda(), method="program")
        v = torch.zeros(1, 1, A.shape.n, device="cuda")
        for _ in range(3):
            A.fisher(v)
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, stream=stream):
        found = A.fisher(v)
    v.copy_(torch.randn(v.shape, generator=torch.Generator().manual_seed(0)))
    graph.replay()
    torch.testing.assert_close(found, A.fisher(v), rtol=1e-5, atol=1e-5 * float(found.abs().max()))
