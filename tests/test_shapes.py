"""Annotated shapes are checked here: a wrong one fails before it is computed with."""

import pytest
import torch
from jaxtyping import TypeCheckError

from eigexp.linalg.orthonormal import orthogonal_to, outside
from eigexp.linalg.rayleigh_ritz import ritz
from eigexp.models.filters import gaussian_taps
from eigexp.noise import GaussianNoise
from eigexp.operators import DenseOperator
from eigexp.pairs import RitzPairs

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


@pytest.mark.usefixtures("unchecked_shapes")
def test_checks_can_be_left_out():
    with pytest.raises(RuntimeError):
        outside(torch.ones(3, 4), torch.ones(5))
