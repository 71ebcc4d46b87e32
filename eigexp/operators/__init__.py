"""Sensitivity operators: a model, its response noise and a pixel subspace, as a linear map and its adjoint."""

from eigexp.noise import GaussianNoise, Noise
from eigexp.operators.base import Operator, OperatorShape
from eigexp.operators.choice import linearise
from eigexp.operators.counted import CountedOperator
from eigexp.operators.dense import DenseOperator, dense_matrix
from eigexp.operators.jacobian import JacobianOperator
from eigexp.operators.shared import SharedOperator
from eigexp.subspace import Mask, PixelSubspace

__all__ = [
    "CountedOperator",
    "DenseOperator",
    "GaussianNoise",
    "JacobianOperator",
    "Mask",
    "Noise",
    "Operator",
    "OperatorShape",
    "PixelSubspace",
    "SharedOperator",
    "dense_matrix",
    "linearise",
]
