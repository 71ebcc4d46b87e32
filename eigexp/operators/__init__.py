"""Sensitivity operators: a model, its response noise and a pixel subspace, as a linear map and its adjoint."""

from eigexp.operators.base import Operator, OperatorShape
from eigexp.operators.choice import linearise
from eigexp.operators.counted import CountedOperator
from eigexp.operators.dense import DenseOperator, dense_matrix
from eigexp.operators.jacobian import JacobianOperator
from eigexp.operators.shared import SharedOperator
from eigexp.subspace import Mask as Mask  # where earlier configurations find it

__all__ = [
    "CountedOperator",
    "DenseOperator",
    "JacobianOperator",
    "Operator",
    "OperatorShape",
    "SharedOperator",
    "dense_matrix",
    "linearise",
]
