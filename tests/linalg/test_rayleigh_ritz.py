import pytest
import torch

from eigexp.linalg.rayleigh_ritz import ritz, wanted_indices


def test_ritz_values_decrease_and_rows_diagonalise():
    H = torch.randn(6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    H = H + H.T
    values, q = ritz(H)
    assert values.tolist() == sorted(values.tolist(), reverse=True)
    assert torch.allclose(q @ H @ q.T, torch.diag(values), atol=1e-12)
    assert torch.allclose(q @ q.T, torch.eye(6, dtype=torch.float64), atol=1e-12)


def test_ritz_works_in_float64():
    values, q = ritz(torch.eye(2))
    assert values.dtype == q.dtype == torch.float64


@pytest.mark.parametrize(
    ("n", "k_top", "k_bottom", "index"),
    [
        (10, 1, 1, [0, 9]),
        (10, 2, 3, [0, 1, 7, 8, 9]),
        (10, 0, 2, [8, 9]),
        (10, 2, 0, [0, 1]),
        (3, 2, 2, [0, 1, 2]),
        (1, 1, 1, [0]),
        (2, 5, 5, [0, 1]),
    ],
)
def test_wanted_indices(n, k_top, k_bottom, index):
    assert wanted_indices(n, k_top, k_bottom).tolist() == index
