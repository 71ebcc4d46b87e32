"""The Jacobian as a matrix."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from torch import Tensor

from eigexp.operators.base import OperatorShape
from eigexp.operators.dense import dense_matrix
from eigexp.operators.jacobian import JacobianOperator
from eigexp.operators.program import program_or_double_backward
from eigexp.system.memory import check_memory


class ExplicitJacobian(JacobianOperator):
    """Store J as a matrix (b, m, pixels), made once by min(m, pixels) products.

    Raises:
        MemoryLimitError: if the matrices do not fit.
    """

    method = "dense"

    def _prepare(self) -> Tensor:
        # The base class applies the subspace around the matrix; in the source it would act twice.
        source = program_or_double_backward(replace(self.point, subspace=None))
        b, m, n = source.shape
        needed = 2 * b * m * n * source.dtype.itemsize  # its parts, and the whole
        what = f"linearise=dense for b={b} images of n={n} pixels and m={m} responses"
        check_memory(needed, source.device, what, "Set linearise=auto, or a smaller images.size or images.batch_size.")
        self.matrix = dense_matrix(source)
        return source.response

    def _jacobian(self, v: Tensor) -> Tensor:
        return v.flatten(2) @ self.matrix.mT

    def _jacobian_adjoint(self, u: Tensor) -> Tensor:
        return (u @ self.matrix).unflatten(-1, self.point.image_shape)

    def select(self, images: Sequence[int]) -> Self:
        """Return the operator of some images, with their matrices."""
        rows = list(images)
        part = copy.copy(self)
        part.point, part.matrix, part.response = self.point.of(rows), self.matrix[rows], self.response[rows]
        part.shape = OperatorShape(len(rows), self.shape.m, self.shape.n)
        return part
