import pytest
import torch

from eigexp.linalg.orthonormal import independent_rows, inner, norm, orthogonal_to, orthonormal_rows, outside, read


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def test_what_is_outside_of_rows_is_orthogonal_in_float64():
    rows = orthonormal_rows(normal(3, 5000)).float()
    vector = normal(5000, seed=1, dtype=torch.float32)
    left, (coefficients,) = outside(rows, vector)
    assert left.dtype == torch.float32 and coefficients.dtype == torch.float64
    assert torch.allclose(coefficients, rows.double() @ vector.double(), rtol=0, atol=1e-13)
    assert torch.allclose(left.double(), vector.double() - coefficients @ rows.double(), rtol=0, atol=1e-6)
    assert float((rows.double() @ left.double()).abs().max()) < 1e-5


def test_outside_of_no_rows_is_the_vector():
    vector = normal(7)
    left, coefficients = outside(torch.empty(0, 7), vector)
    assert left is vector and coefficients == ()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_that_are_read_are_the_host_s_own(dtype):
    numbers = normal(5, dtype=dtype)
    found = read(numbers)
    assert found.dtype == float and found.tolist() == numbers.tolist()
    found[0] = 7.0
    assert float(numbers[0]) != 7.0


def test_norm_of_a_long_vector():
    assert norm(torch.full((2**22,), 0.1)) == pytest.approx(0.1 * 2**11, rel=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_orthogonal_part_is_orthogonal_and_unit(dtype):
    rows = orthonormal_rows(normal(5, 40, dtype=dtype))
    t = orthogonal_to(rows, rows[0] * 1e3 + 1e-2 * normal(40, seed=2, dtype=dtype))
    eps = torch.finfo(dtype).eps
    assert float((rows @ t).abs().max()) < 10 * eps
    assert norm(t) == pytest.approx(1.0, abs=10 * eps)


@pytest.mark.parametrize("seed", range(5))
def test_where_little_is_left_a_second_pass_makes_it_orthogonal(seed):
    rows = orthonormal_rows(normal(30, 60))
    rest = orthogonal_to(rows, normal(60, seed=seed + 1))
    t = orthogonal_to(rows, normal(1, 30, seed=seed)[0] @ rows / 5 + 0.02 * rest)
    assert float((rows @ t).abs().max()) < 2 * torch.finfo(torch.float64).eps


def test_a_tiny_vector_has_a_direction():
    rows = orthonormal_rows(normal(5, 40))
    assert norm(orthogonal_to(rows, 1e-30 * normal(40, seed=2))) == pytest.approx(1.0)


def test_nothing_is_left_of_a_vector_in_the_span():
    rows = orthonormal_rows(normal(5, 40))
    assert orthogonal_to(rows, normal(1, 5, seed=1)[0] @ rows) is None
    assert orthogonal_to(rows, torch.zeros(40, dtype=torch.float64)) is None
    assert orthogonal_to(rows[:0], torch.zeros(40, dtype=torch.float64)) is None


def test_against_no_rows_a_vector_is_only_scaled():
    v = normal(7)
    assert torch.equal(orthogonal_to(v.new_empty(0, 7), v), v / norm(v))


@pytest.mark.parametrize("k", [1, 4, 9])
def test_orthonormal_rows_span_the_block(k):
    block = normal(k, 9)
    rows = orthonormal_rows(block)
    assert torch.allclose(rows @ rows.T, torch.eye(k, dtype=torch.float64), atol=1e-13)
    assert torch.allclose(block @ rows.T @ rows, block, atol=1e-12)


def test_dependent_rows_are_replaced():
    block = normal(1, 9).repeat(3, 1)
    rows = orthonormal_rows(block)
    assert torch.allclose(rows @ rows.T, torch.eye(3, dtype=torch.float64), atol=1e-13)


def test_independent_rows_drop_what_depends_and_what_is_zero():
    block = torch.cat([normal(2, 9), normal(2, 9) @ torch.eye(9, dtype=torch.float64) * 5, torch.zeros(1, 9, dtype=torch.float64)])
    rows = independent_rows(block)
    assert rows.shape == (2, 9)
    assert torch.allclose(block @ rows.T @ rows, block, atol=1e-12)
    assert independent_rows(block[-1:]).shape == (0, 9)


def test_independence_does_not_depend_on_lengths():
    block = normal(3, 9) * torch.tensor([[1e-6], [1.0], [1e6]], dtype=torch.float64)
    assert independent_rows(block).shape == (3, 9)


def test_independence_is_relative_to_the_strongest_direction():
    nearly = normal(1, 30).repeat(9, 1) + 2e-3 * normal(9, 30, seed=1)
    s = torch.linalg.svdvals(nearly / nearly.norm(dim=1, keepdim=True))
    assert s[0] > 2.9
    assert len(independent_rows(nearly)) == int((s > 1e-3 * s[0]).sum()) < int((s > 1e-3).sum())


def test_products_of_very_long_vectors_keep_their_digits():
    n = 2**22 + 5
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(2, n, generator=generator)
    rows /= torch.linalg.vector_norm(rows, dim=1, keepdim=True, dtype=torch.float64).float()
    exact = rows.double() @ rows[0].double()
    assert float((inner(rows, rows[0]) - exact).abs().max()) < 3e-5
    short = rows[:, :1000]
    assert torch.equal(inner(short, short[0]), short @ short[0])
