"""The adjoint test judges each image by itself."""

from types import SimpleNamespace

import pytest
import torch

from eigexp.errors import ModelError, OperatorError
from eigexp.operators import probe
from eigexp.operators.base import OperatorShape

MATRICES = torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def products(forward=MATRICES, back=MATRICES):
    """An operator of two images whose products may belong to different matrices."""
    return SimpleNamespace(
        shape=OperatorShape(*forward.shape),
        response=torch.zeros(2, 5, dtype=torch.float64),
        dtype=torch.float64,
        method="program",
        apply=lambda v: v @ forward.mT,
        adjoint=lambda u: u @ back,
    )


def changed(image, factor):
    other = MATRICES.clone()
    other[image] = other[image] * factor
    return other


def test_products_of_one_matrix_pass():
    A = products()
    assert probe.tested(A) is A


def test_one_image_whose_products_disagree_is_enough():
    with pytest.raises(OperatorError, match="adjoint test"):
        probe.tested(products(back=changed(1, 1.01)))


def test_one_image_without_a_derivative_is_enough():
    with pytest.raises(ModelError, match="does not depend on the image"):
        probe.tested(products(changed(1, 0.0), changed(1, 0.0)))


@pytest.mark.parametrize("which", ["forward", "back"])
def test_a_derivative_that_is_not_finite_is_told(which):
    with pytest.raises(ModelError, match="not finite"):
        probe.tested(products(**{which: changed(0, float("nan"))}))
