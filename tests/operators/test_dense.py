import pytest
import torch

from eigexp.errors import OperatorError
from eigexp.operators import CountedOperator, DenseOperator, dense_matrix, linearise
from eigexp.subspace import Mask


def matrix(b: int = 2, m: int = 5, n: int = 7) -> torch.Tensor:
    return torch.randn(b, m, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_products_are_those_of_the_matrix():
    J, v, u = matrix(), torch.randn(2, 3, 7, dtype=torch.float64), torch.randn(2, 3, 5, dtype=torch.float64)
    A = DenseOperator(J)
    assert A.shape == (2, 5, 7)
    assert torch.allclose(A.apply(v), torch.einsum("bmn,bkn->bkm", J, v))
    assert torch.allclose(A.adjoint(u), torch.einsum("bmn,bkm->bkn", J, u))
    assert torch.allclose(A.fisher(v), torch.einsum("bmn,bmp,bkp->bkn", J, J, v))


def test_without_a_subspace_coordinates_are_pixels():
    A, v = DenseOperator(matrix()), torch.randn(2, 3, 7, dtype=torch.float64)
    assert torch.equal(A.to_pixels(v), v)
    assert torch.equal(A.from_pixels(v), v)


def test_images_follow_a_selection():
    images = torch.rand(2, 1, 7)
    assert DenseOperator(matrix()).images is None
    assert torch.equal(DenseOperator(matrix(), images).select([1]).images, images[1:])
    assert torch.equal(DenseOperator(matrix(), images).select([1, 0]).matrix, matrix().flip(0))


@pytest.mark.parametrize(("m", "n"), [(5, 7), (7, 5), (6, 6), (1, 9), (9, 1)])
@pytest.mark.parametrize("chunk", [1, 3, 64])
def test_a_matrix_takes_the_fewer_of_rows_and_columns(m, n, chunk):
    J = matrix(m=m, n=n)
    A = CountedOperator(DenseOperator(J))
    assert torch.equal(dense_matrix(A, chunk), J)
    assert (A.forward_products + A.adjoint_products).tolist() == [min(m, n)] * 2


@pytest.mark.parametrize("shape", [(2, 7), (1, 3, 7), (2, 3, 5)])
@pytest.mark.usefixtures("unchecked_shapes")
def test_vectors_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(OperatorError, match=r"apply takes vectors of shape \(b=2, k, n=7\), but got"):
        DenseOperator(matrix()).apply(torch.zeros(*shape, dtype=torch.float64))


def test_products_are_counted_image_by_image_through_selections():
    A = CountedOperator(DenseOperator(matrix(b=3)))
    A.apply(torch.zeros(3, 2, 7, dtype=torch.float64))
    A.select([2, 0]).adjoint(torch.zeros(2, 4, 5, dtype=torch.float64))
    A.select([2, 0]).select([0]).apply(torch.zeros(1, 1, 7, dtype=torch.float64))
    assert A.forward_products.tolist() == [2, 2, 3]
    assert A.adjoint_products.tolist() == [4, 0, 4]
    assert A.fisher_vector_products.tolist() == [3, 1, 3.5]


def test_a_counted_operator_is_otherwise_the_one_that_it_wraps():
    inner = linearise(lambda x: x.square(), torch.rand(2, 1, 6, 6), subspace=Mask(extent=0.7), method="double_backward")
    A, v = CountedOperator(inner), torch.randn(2, 1, inner.shape.n)
    assert (A.shape, A.dtype, A.device) == (inner.shape, inner.dtype, inner.device)
    assert torch.equal(A.images, inner.images)
    assert torch.equal(A.to_pixels(v), inner.to_pixels(v))
    assert torch.equal(A.from_pixels(inner.to_pixels(v)), v)
    assert torch.equal(A.fisher(v), inner.fisher(v))
