"""An explicit Jacobian as an operator, and a function that computes it from any operator."""

from collections.abc import Sequence

import torch
from torch import Tensor

from eigexp.operators.base import Operator, OperatorShape


class DenseOperator(Operator):
    """Matrices (b, m, n) as a sensitivity operator: the reference in tests, and the fastest method for small models."""

    def __init__(self, matrix: Tensor, images: Tensor | None = None):
        self.matrix = matrix
        self.shape = OperatorShape(*matrix.shape)
        self.dtype, self.device = matrix.dtype, matrix.device
        self._images = images

    def _apply(self, v: Tensor) -> Tensor:
        return v @ self.matrix.mT

    def _adjoint(self, u: Tensor) -> Tensor:
        return u @ self.matrix

    def select(self, images: Sequence[int]) -> "DenseOperator":
        """Return the operator of some of the images."""
        rows = list(images)
        return DenseOperator(self.matrix[rows], None if self._images is None else self._images[rows])

    @property
    def images(self) -> Tensor | None:
        """Return the images that the matrices belong to, if any."""
        return self._images


def dense_matrix(A: Operator, chunk: int = 64) -> Tensor:
    """Return the matrix of A, shape (b, m, n), by min(m, n) products, `chunk` vectors at a time."""
    # A^T of a unit vector is a row, A of one a column: make whichever there are fewer of.
    by_rows = A.shape.m <= A.shape.n
    size = A.shape.m if by_rows else A.shape.n
    parts = []
    for start in range(0, size, chunk):
        unit = torch.zeros(A.shape.b, min(chunk, size - start), size, dtype=A.dtype, device=A.device)
        unit[:, torch.arange(unit.shape[1]), torch.arange(start, start + unit.shape[1])] = 1
        parts.append(A.adjoint(unit) if by_rows else A.apply(unit))
    matrix = torch.cat(parts, dim=1)
    return matrix if by_rows else matrix.mT.contiguous()
