import pytest
import torch
from torch import Tensor

from eigexp.operators import DenseOperator, dense_matrix, linearise
from eigexp.solvers.sparse.compression import ColumnGroups, Entries, window
from tests.solvers.layers import noise, strided


def jacobian(channels: int, height: int, width: int, seed: int = 0) -> DenseOperator:
    return DenseOperator(dense_matrix(linearise(strided(channels, seed), noise(channels, height, width, seed=seed))))


def found(A: DenseOperator, groups: ColumnGroups) -> tuple[Tensor, bool]:
    matrix, clean = torch.zeros(A.shape.m, A.shape.n, dtype=torch.float64), True
    for first in range(0, groups.num_groups, 5):
        positions = range(first, min(first + 5, groups.num_groups))
        entries: Entries = groups.decode(positions, A.apply(groups.seed_vectors(positions)[None])[0])
        matrix[entries.rows, entries.columns] = entries.values
        clean &= entries.clean
    return matrix, clean


@pytest.mark.parametrize("planes", [(1, 16, 16), (3, 16, 16), (3, 13, 22), (1, 9, 7)])
def test_the_jacobian_is_what_the_combs_are_made_of(planes):
    A = jacobian(*planes)
    matrix, clean = found(A, ColumnGroups(planes, (7, 7)))
    assert clean
    assert torch.allclose(matrix, A.matrix[0], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("spacing", [(6, 7), (7, 6), (4, 4), (3, 3)])
def test_pixels_that_a_response_sees_together_are_noticed(spacing):
    assert not found(jacobian(3, 22, 22), ColumnGroups((3, 22, 22), spacing))[1]


def test_two_pixels_with_equal_responses_are_noticed():
    blur = torch.ones(40, 44, dtype=torch.float64).tril(3).triu(0)[:, :40]
    assert not found(DenseOperator(blur[None]), ColumnGroups((1, 1, 40), (1, 3)))[1]


def test_the_widest_combs_have_one_pixel():
    groups = ColumnGroups((2, 5, 9), (1, 1))
    widths = [groups.spacing]
    while not groups.is_widest:
        groups = groups.wider()
        widths.append(groups.spacing)
    assert widths == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 6), (5, 8), (5, 9)]
    plain = groups.seed_vectors(range(45)).unflatten(0, (45, 3))[:, :2]
    assert torch.equal(plain.abs().sum(dim=2), torch.ones(45, 2))


def test_a_window_holds_what_responses_see():
    A = jacobian(3, 22, 22)
    assert window(A.matrix[0], (3, 22, 22)) == (7, 7)
    gradients = torch.zeros(2, 2, 8, 9)
    gradients[0, 0, 1, 2] = gradients[0, 1, 4, 2] = gradients[1, 0, 0, 0] = gradients[1, 0, 0, 4] = 1.0
    assert window(gradients.flatten(1), (2, 8, 9)) == (4, 5)
    assert window(torch.zeros(3, 144), (2, 8, 9)) == (1, 1)
