import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from eigexp.linalg import threads
from eigexp.operators import DenseOperator
from eigexp.solvers.base import Solver
from eigexp.solvers.davidson import Davidson
from eigexp.solvers.krylov import Krylov


def counts() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def as_if_new():
    threads._with_threads.cache_clear()
    yield
    threads._with_threads.cache_clear()


@pytest.mark.parametrize("solver", [Krylov(), Davidson()])
def test_small_matrices_are_decomposed_by_one_thread(solver: Solver, monkeypatch):
    if not counts():
        pytest.skip("threadpoolctl knows no BLAS here")
    during, eigh = [], np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda matrix: during.append(counts()) or eigh(matrix))
    A = DenseOperator(torch.randn(1, 30, 40, generator=torch.Generator().manual_seed(0)))
    with threadpool_limits(2, "blas"):
        state = solver.init(A, 0)
        for _ in range(4):
            state = solver.step(A, state)
        assert counts() == {2}  # the caller's own number is back
    assert during and all(number == {1} for number in during)
