"""What the sparse solver promises beyond the contract."""

import pytest
import torch
from scipy.sparse.linalg import ArpackNoConvergence, eigsh
from torch import Tensor, nn

from eigexp.certificates import certify
from eigexp.errors import ConfigurationError, MemoryLimitError
from eigexp.images import SkimageImages
from eigexp.models import prepare_model
from eigexp.models.zoo import efficientnet_lite0
from eigexp.operators import CountedOperator, Operator, dense_matrix, linearise
from eigexp.pairs import EigenPairs
from eigexp.solvers.sparse import NotSparseError, Sparse
from eigexp.solvers.sparse import spectrum as sparse_spectrum
from tests.solvers.layers import Beside, Halves, noise, strided
from tests.solvers.spectra import run


def operator(model: nn.Module, x: Tensor) -> Operator:
    torch.manual_seed(0)
    return linearise(model.double().eval(), x)


def solved(A: Operator, **settings) -> EigenPairs:
    solver = Sparse(**settings)
    state = run(solver, A)
    return certify(A, solver.pairs(state), solver=solver, state=state)[0]


def truth(A: Operator) -> Tensor:
    values = torch.linalg.svdvals(dense_matrix(A)[0]).square()
    return torch.cat([values, values.new_zeros(A.shape.n - len(values))])


def holds(pairs: EigenPairs, values: Tensor) -> bool:
    """Whether every interval has its true value, but for the rounding of the truth itself."""
    rounding = 1e-14 * float(values[0])
    wanted = values[pairs.eigenindex]
    return bool(((pairs.intervals[:, 0] - rounding <= wanted) & (wanted <= pairs.intervals[:, 1] + rounding)).all())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 24, 24), (3, 24, 17), (3, 13, 30)])
@pytest.mark.parametrize("k", [1, 3])
def test_both_ends_are_proven_and_true(seed, channels, height, width, k):
    A = operator(strided(channels, seed), noise(channels, height, width, seed=seed))
    pairs, values = solved(A, k=k), truth(A)
    assert pairs.evidence == {"top": "proven", "bottom": "proven"}
    assert pairs.verified
    assert pairs.status == "converged"
    assert holds(pairs, values)
    assert torch.allclose(pairs.eigenvalues[:k], values[:k], rtol=1e-12, atol=0)
    if A.shape.m >= A.shape.n and values[-k] > 1e-12 * values[0]:
        assert torch.allclose(pairs.eigenvalues[k:], values[-k:], rtol=1e-6, atol=0)


@pytest.mark.slow(0.7)
def test_a_trained_first_block_is_known_to_a_millionth_of_its_bottom():
    model = prepare_model(efficientnet_lite0(), layer="_blocks.0", weights="default").double()
    A = linearise(model, SkimageImages(names=["coffee"], size=20, grey=False)[0].pixels[None].double())
    pairs, values = solved(A, k=2, bottom_rtol=1e-6), truth(A)
    assert 0 < float(values[-1]) < 1e-5 * float(values[0])
    assert pairs.tolerances["met"] == {"tol": True, "bottom_rtol": True}
    assert torch.allclose(pairs.eigenvalues, values[pairs.eigenindex], rtol=1e-7, atol=0)
    assert holds(pairs, values)
    assert float((pairs.intervals[2:, 1] / pairs.intervals[2:, 0] - 1).max()) < 1e-3


def test_products_do_not_grow_with_the_image():
    spent = []
    for side in (20, 40):
        A = CountedOperator(operator(strided(1), noise(1, side, side)))
        pairs = solved(A)
        assert pairs.fisher_vector_products == A.fisher_vector_products[0]
        spent.append(pairs.fisher_vector_products)
    assert spent == [8 + 49 + 2 + 2] * 2


def test_every_copy_of_a_repeated_eigenvalue_is_found():
    half = noise(1, 20, 20)
    A = operator(Halves(), torch.cat([half, half], dim=-1))
    for k in (1, 2, 3):
        pairs = solved(A, k=k)
        assert pairs.evidence == {"top": "proven", "bottom": "proven"}
        assert torch.allclose(pairs.eigenvalues, truth(A)[pairs.eigenindex], rtol=1e-10, atol=0)


def test_where_there_is_no_gap_counts_beyond_each_value_prove_it():
    A = operator(nn.Conv2d(1, 1, 1), noise(1, 20, 20))
    pairs = solved(A, k=2)
    assert pairs.evidence == {"top": "proven", "bottom": "proven"}
    truth = float(A.apply(torch.eye(400, dtype=torch.float64)[None])[0, 0].square().sum())
    assert all(lower <= truth <= upper for lower, upper in pairs.intervals.tolist())


def test_nothing_is_proven_where_no_count_can_be_had(monkeypatch):
    monkeypatch.setattr(sparse_spectrum, "count_below", lambda matrix, number: None)
    pairs = solved(operator(nn.Conv2d(1, 1, 1), noise(1, 20, 20)), k=2)
    assert pairs.evidence == {"top": "converged", "bottom": "converged"}
    assert not pairs.verified


def test_a_search_for_a_gap_ends_within_a_large_cluster(monkeypatch):
    sizes = []

    def counted(F, size, **settings):
        sizes.append(size)
        return eigsh(F, size, **settings)

    monkeypatch.setattr(sparse_spectrum, "eigsh", counted)
    pairs = solved(operator(nn.Conv2d(1, 1, 1), noise(1, 40, 40)))
    assert pairs.evidence == {"top": "proven", "bottom": "proven"}
    assert max(sizes) <= 1 + 60


def test_a_spectrum_that_is_not_found_is_an_error_in_words(monkeypatch):
    def failing(F, size, **settings):
        raise ArpackNoConvergence("No convergence (%s)", [], [])

    monkeypatch.setattr(sparse_spectrum, "eigsh", failing)
    with pytest.raises(ConfigurationError, match=r"^solver=sparse: .*No convergence.* Set solver=krylov"):
        solved(operator(strided(1), noise(1, 24, 24)))


def test_a_wide_window_of_a_few_responses_is_noticed():
    for weight in (1.0, 1e-3):
        with pytest.raises(NotSparseError, match=r"20 x 20 of 20 x 20 pixels.*solver=krylov"):
            solved(operator(Beside(weight), noise(1, 20, 20)))


@pytest.mark.parametrize("weight", [1e-9, 1e-11])
def test_what_may_have_been_overlooked_is_in_the_interval(weight):
    A = operator(Beside(weight), noise(1, 24, 24))
    pairs = solved(A)
    assert holds(pairs, truth(A))
    assert pairs.intervals[0, 1] - pairs.eigenvalues[0] > weight / 24 * pairs.eigenvalues[0] ** 0.5


def test_a_wide_window_of_a_small_image_costs_every_column():
    A = operator(Beside(1.0), noise(1, 12, 12))
    pairs = solved(A)
    assert pairs.fisher_vector_products > 144
    assert torch.allclose(pairs.eigenvalues, truth(A)[pairs.eigenindex], rtol=1e-9, atol=0)


def test_single_precision_is_refused():
    A = linearise(strided(1).float(), noise(1, 20, 20).float())
    with pytest.raises(ConfigurationError, match=r"solver=sparse needs float64 products, not float32\. Set dtype=float64\."):
        Sparse().init(A, 0)


def test_factors_that_may_not_fit_are_refused_after_the_windows(monkeypatch):
    A = operator(strided(3), noise(3, 64, 64))
    monkeypatch.setenv("EIGEXP_MEMORY", "100MB")
    solver = Sparse()
    with pytest.raises(MemoryLimitError, match="solver=sparse for n=12288 pixels, of which a response depends on 7 x 7, needs"):
        solver.step(A, solver.init(A, 0))
