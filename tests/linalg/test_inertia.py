import numpy as np
import pytest
import scipy.sparse as sparse

from eigexp.linalg.inertia import count_below


def banded(n: int, seed: int) -> sparse.csc_matrix:
    generator = np.random.default_rng(seed)
    J = sparse.diags([generator.standard_normal(n) + 3 * (offset == 0) for offset in (0, 1, 5, 9)], [0, 1, 5, 9], shape=(n, n))
    return (J.T @ J).tocsc()


@pytest.mark.parametrize("seed", range(4))
def test_it_counts_what_a_dense_decomposition_finds(seed):
    F = banded(150, seed)
    truth = np.linalg.eigvalsh(F.toarray())
    for number in [-1.0, truth[0] * 0.99, truth[0] * 1.01, *(truth[:-1:7] + truth[1::7]) / 2, truth[-1] * 1.001, 1e9]:
        count = count_below(F, float(number))
        assert count is not None
        assert count.below == (truth < number).sum()
        assert 0 < count.error < 1e-8 * max(abs(number), truth[-1])


@pytest.mark.parametrize("seed", range(4))
def test_the_error_bound_covers_a_number_next_to_an_eigenvalue(seed):
    F = banded(150, seed)
    truth = np.linalg.eigvalsh(F.toarray())
    for i in (0, 1, 70, 149):
        for off in (-1e-15, 0.0, 1e-15):
            count = count_below(F, float(truth[i]) * (1 + off))
            if count is not None:
                assert (truth < truth[i] - count.error).sum() <= count.below <= (truth < truth[i] + count.error).sum()


def test_a_pivot_of_zero_is_no_count():
    assert count_below(sparse.csc_matrix(np.array([[1.0, 1.0], [1.0, 1.0]])), 1.0) is None


def test_the_error_bound_grows_with_the_factors():
    F = sparse.csc_matrix(np.array([[1.0 + 1e-7, 1.0], [1.0, 1.0 + 1e-7]]))
    near, far = count_below(F, 1.0), count_below(F, -1.0)
    assert near is not None
    assert far is not None
    assert near.error > 1e5 * far.error
