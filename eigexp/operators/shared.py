"""The products of a block of vectors, divided among processes that all hold the same operator."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from eigexp.errors import OperatorError
from eigexp.operators.base import Operator
from eigexp.operators.wrapped import WrappedOperator

Gather = Callable[[Tensor], list[Tensor]]


class SharedOperator(WrappedOperator):
    """Compute vector j on process j modulo the number of processes; every process gets all results.

    Each vector's product is made on its own, so that results do not depend on the number of processes. All processes must ask
    for the same products in the same order. Where one fails, all raise.

    Args:
        inner: this process's operator, which computes.
        rank: of this process.
        size: number of processes.
        gather: the tensor that each process gives, all of one shape, in the order of their ranks.
    """

    def __init__(self, inner: Operator, rank: int, size: int, gather: Gather):
        super().__init__(inner)
        self.rank, self.size, self._gather = rank, size, gather

    def select(self, images: Sequence[int]) -> "SharedOperator":
        """Return the operator of some images, shared in the same way."""
        return SharedOperator(self.inner.select(images), self.rank, self.size, self._gather)

    def _apply(self, v: Tensor) -> Tensor:
        return self._shared(self.inner.apply, v, self.shape.m)

    def _adjoint(self, u: Tensor) -> Tensor:
        return self._shared(self.inner.adjoint, u, self.shape.n)

    def _shared(self, product: Callable[[Tensor], Tensor], block: Tensor, length: int) -> Tensor:
        b, k, _ = block.shape
        mine = block.new_zeros(-(-k // self.size) * b * length + 1)  # the last entry is 1 if a product failed
        rows = mine[:-1].view(-1, b, length)
        error: Exception | None = None
        try:
            # One vector at a time: in blocks, the order of sums would depend on the block's width and so on the number of processes.
            for row, j in enumerate(range(self.rank, k, self.size)):
                rows[row] = product(block[:, j : j + 1].contiguous())[:, 0]
        except Exception as raised:
            error, mine[-1] = raised, 1.0
        # Processes that failed take part as well: the others would wait for them for ever.
        parts = self._gather(mine)
        if error is not None:
            raise error
        failed = [rank for rank, part in enumerate(parts) if part[-1] != 0]
        if failed:
            raise OperatorError(f"A product failed in process {failed[0]} of {self.size}; see the message of that process.")
        everything = [part[:-1].view(-1, b, length) for part in parts]
        return torch.stack([everything[j % self.size][j // self.size] for j in range(k)], dim=1)
