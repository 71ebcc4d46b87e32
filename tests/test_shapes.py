"""Annotated shapes are checked here: a wrong one fails before it is computed with."""

import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from eigexp.linalg.orthonormal import orthogonal_to, outside
from eigexp.linalg.rayleigh_ritz import ritz
from eigexp.models.filters import gaussian_taps
from eigexp.noise import GaussianNoise
from eigexp.operators import DenseOperator
from eigexp.pairs import RitzPairs
from tests.shape_checks import checked_once

DOUBLE = torch.float64


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: outside(torch.ones(3, 4), torch.ones(5)),
        lambda: orthogonal_to(torch.ones(3, 4), torch.ones(1, 4)),
        lambda: ritz(torch.ones(3, 2)),
        lambda: gaussian_taps(torch.ones(2, 2)),
        lambda: DenseOperator(torch.ones(1, 3, 2)).apply(torch.ones(1, 2)),
        lambda: GaussianNoise(4.0).whiten(torch.ones(1, 2, 3), torch.ones(1, 4)),
    ],
    ids=["length", "axes", "square", "vector", "operator", "responses"],
)
def test_a_wrong_shape_is_refused(wrong):
    with pytest.raises(TypeCheckError):
        wrong()


def test_the_fields_of_pairs_must_agree():
    with pytest.raises(TypeCheckError, match=r"values|vectors"):
        RitzPairs(torch.arange(2), torch.ones(3, dtype=DOUBLE), torch.ones(2, 5), "converged", None)
    with pytest.raises(TypeCheckError, match="values"):
        RitzPairs(torch.arange(2), torch.ones(2), torch.ones(2, 5), "converged", None)  # float32 values


def test_right_shapes_pass():
    left, (coefficients,) = outside(torch.ones(3, 4), torch.ones(4))
    assert left.shape == (4,) and coefficients.shape == (3,)


def grown(vectors: Float[Tensor, "k n"], by: float) -> Float[Tensor, "k n"]:
    return torch.cat([vectors, vectors[:1]]) if by < 0 else vectors * by


def test_a_result_of_another_shape_is_refused_where_the_arguments_have_passed():
    checked = checked_once(grown)
    assert checked(torch.ones(2, 3), 2.0).shape == (2, 3)
    with pytest.raises(TypeCheckError):
        checked(torch.ones(2, 3), -1.0)
    with pytest.raises(TypeCheckError):
        checked(torch.ones(3), 2.0)
    assert checked(torch.ones(2, 3), by=2.0).shape == (2, 3)


@pytest.mark.usefixtures("unchecked_shapes")
def test_checks_can_be_left_out():
    with pytest.raises(RuntimeError):
        outside(torch.ones(3, 4), torch.ones(5))
