"""Products shared out over processes, here threads that hand each other their parts."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from eigexp.errors import OperatorError
from eigexp.operators import DenseOperator, SharedOperator


class Ranks:
    """`size` shared operators over the same matrix, and a gather that waits for all of them."""

    def __init__(self, matrices, size):
        self.barrier, self.parts = Barrier(size), [None] * size
        self.operators = [SharedOperator(matrices(rank), rank, size, self.gather(rank)) for rank in range(size)]

    def gather(self, rank):
        def gather(mine):
            self.parts[rank] = mine.clone()
            self.barrier.wait(900)
            parts = list(self.parts)
            self.barrier.wait(900)
            return parts

        return gather

    def all(self, product):
        with ThreadPoolExecutor(len(self.operators)) as pool:
            return list(pool.map(product, self.operators))


class Counting(DenseOperator):
    """Notes how many vectors it multiplied; fails on request."""

    def __init__(self, matrix, fails=False):
        super().__init__(matrix)
        self.seen, self.fails = 0, fails

    def _apply(self, v):
        self.seen += v.shape[1]
        if self.fails:
            raise FloatingPointError("broken")
        return super()._apply(v)


def matrix(b=2, m=5, n=7):
    return torch.randn(b, m, n, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_every_process_gets_every_product_and_makes_its_share(size, k):
    ranks = Ranks(lambda rank: Counting(matrix()), size)
    v = torch.randn(2, k, 7, generator=torch.Generator().manual_seed(1))
    one = DenseOperator(matrix())
    expected = torch.cat([one.apply(v[:, j : j + 1]) for j in range(k)], dim=1)
    assert all(torch.equal(found, expected) for found in ranks.all(lambda A: A.apply(v)))
    assert sum(A.inner.seen for A in ranks.operators) == k
    assert max(A.inner.seen for A in ranks.operators) == -(-k // size)
    back = torch.cat([one.adjoint(expected[:, j : j + 1]) for j in range(k)], dim=1)
    assert all(torch.equal(found, back) for found in ranks.all(lambda A: A.adjoint(expected)))


def test_selected_images_are_shared_out_too():
    ranks = Ranks(lambda rank: Counting(matrix()), 2)
    v = torch.randn(1, 3, 7, generator=torch.Generator().manual_seed(1))
    expected = torch.cat([DenseOperator(matrix()).select([1]).apply(v[:, j : j + 1]) for j in range(3)], dim=1)
    assert all(torch.equal(found, expected) for found in ranks.all(lambda A: A.select([1]).apply(v)))


def test_where_one_fails_all_raise():
    ranks = Ranks(lambda rank: Counting(matrix(), fails=rank == 1), 2)

    def outcome(A):
        with pytest.raises((FloatingPointError, OperatorError)) as raised:
            A.apply(torch.ones(2, 2, 7))
        return str(raised.value)

    told = ranks.all(outcome)
    assert "process 1 of 2" in told[0] and told[1] == "broken"
