import pytest
import torch

from eigexp.errors import MemoryLimitError
from eigexp.operators import DenseOperator
from eigexp.solvers.krylov import Krylov
from eigexp.solvers.power import Power
from eigexp.system import memory


def test_a_state_that_could_outgrow_memory_is_refused_before_the_first_product(monkeypatch):
    class Greedy(Power):
        def vectors(self, n: int) -> int:
            return 10 * n

        def memory_hint(self, vectors: int) -> str:
            return f"Keep {vectors}."

    A = DenseOperator(torch.eye(100)[None].repeat(3, 1, 1))
    monkeypatch.setattr(memory, "free_memory", lambda device: 700 * 3 * 100 * 4)
    message = r"^solver=power for b=3 images of n=100 pixels, whose state may grow to 1000 vectors, needs .* free on cpu\. Keep 700\.$"
    with pytest.raises(MemoryLimitError, match=message):
        Greedy().init(A, 0)
    assert Power().init(A, 0).active == [0, 1, 2]


def test_the_free_memory_is_read_once(monkeypatch):
    reads = []
    monkeypatch.setattr(memory, "free_memory", lambda device: reads.append(device) or 2**40)
    Krylov().init(DenseOperator(torch.eye(100)[None]), 0)
    assert len(reads) == 1


def test_the_free_memory_leaves_no_trace_in_the_numbers(monkeypatch):
    A = DenseOperator(torch.randn(1, 30, 40, generator=torch.Generator().manual_seed(0)))
    first = Krylov().step(A, Krylov().init(A, 0))
    monkeypatch.setattr(memory, "free_memory", lambda device: 2**40)
    assert torch.equal(first.images[0].request.block, Krylov().step(A, Krylov().init(A, 0)).images[0].request.block)
