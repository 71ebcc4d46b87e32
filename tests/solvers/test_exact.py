"""What the exact solver promises beyond the contract."""

import pytest
import torch

from eigexp.certificates import certify
from eigexp.errors import MemoryLimitError
from eigexp.operators import CountedOperator, DenseOperator, linearise
from eigexp.solvers.exact import Exact
from eigexp.system import memory
from tests.solvers.spectra import PROBLEMS, Problem, linear, run


@pytest.mark.parametrize("name", ["tall", "wide", "repeated top", "rank-deficient", "one coordinate", "three images"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_whole_spectrum(name, dtype):
    problem, solver = PROBLEMS[name], Exact()
    A = problem.operator(dtype)
    state = run(solver, A)
    for truth, certified in zip(problem.truth, certify(A, solver.pairs(state), solver=solver, state=state), strict=True):
        assert certified.eigenindex.tolist() == list(range(problem.n))
        assert torch.allclose(certified.eigenvalues, truth, rtol=0, atol=20 * torch.finfo(dtype).eps * float(truth[0]))
        assert certified.evidence == {"top": "proven", "bottom": "proven"}
        assert certified.verified
        assert certified.status == "converged"


def test_small_eigenvalues_keep_their_relative_accuracy():
    problem = Problem(40, 30, ((1e6, *linear(28, 1e5, 1e3), 1e-9),))
    (pairs,) = Exact().pairs(run(Exact(), problem.operator()))
    assert float(pairs.eigenvalues[-1]) == pytest.approx(1e-9, rel=1e-3)
    naive = torch.linalg.eigvalsh(problem.operator().matrix[0].T @ problem.operator().matrix[0])[0]
    assert abs(float(naive) - 1e-9) > 1e-2 * 1e-9


@pytest.mark.parametrize(("name", "rank"), [("tall", 24), ("wide", 12), ("rank-deficient", 10)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_null_space_is_counted(name, rank, dtype):
    (pairs,) = Exact(k=1).pairs(run(Exact(k=1), PROBLEMS[name].operator(dtype)))
    assert pairs.null_fraction == pytest.approx(1 - rank / 24)


@pytest.mark.parametrize(("name", "size"), [("tall", 24), ("wide", 12)])
@pytest.mark.parametrize("chunk", [1, 5, 12, 100])
def test_it_takes_the_fewer_of_rows_and_columns_a_chunk_a_step(name, size, chunk):
    A = CountedOperator(PROBLEMS[name].operator())
    state = run(Exact(chunk=chunk), A)
    assert state.images[0].steps == -(-size // chunk)
    assert state.images[0].fisher_vector_products == size / 2
    assert (float(A.forward_products[0]), float(A.adjoint_products[0])) == ((size, 0) if name == "tall" else (0, size))


def test_the_chunk_does_not_change_the_result():
    A = PROBLEMS["wide"].operator()
    one, other = (Exact(chunk=chunk).pairs(run(Exact(chunk=chunk), A))[0] for chunk in (3, 12))
    assert torch.equal(one.eigenvalues, other.eigenvalues)
    assert torch.equal(one.vectors, other.vectors)


def test_a_finished_state_lets_go_of_the_jacobian():
    state = run(Exact(k=1), PROBLEMS["tall"].operator())
    assert state.to_dict()["0.jacobian"].numel() == 0


@pytest.mark.parametrize("rank", [20, 13])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_few_responses_take_a_small_decomposition_and_give_the_null_space_exactly(rank, dtype, monkeypatch):
    monkeypatch.setattr(Exact, "_of_any", None)  # the large one is not called
    values = (*linear(rank, 1.0, 0.01), *[0.0] * (20 - rank))
    problem = Problem(20, 400, (values,))
    A, solver = problem.operator(dtype), Exact(k=3)
    state = run(solver, A)
    (pairs,) = certify(A, solver.pairs(state), solver=solver, state=state)
    assert pairs.eigenindex.tolist() == [0, 1, 2, 397, 398, 399]
    assert torch.allclose(pairs.eigenvalues[:3], problem.truth[0][:3], rtol=0, atol=20 * torch.finfo(dtype).eps)
    assert bool((pairs.eigenvalues[3:] <= (20 * torch.finfo(dtype).eps) ** 2).all())
    vectors = pairs.eigendistortions.to(dtype)
    assert torch.allclose(vectors @ vectors.T, torch.eye(6, dtype=dtype), atol=20 * torch.finfo(dtype).eps)
    assert pairs.evidence == {"top": "proven", "bottom": "proven"}
    assert pairs.null_space.dimension_estimate == pytest.approx(400 - rank)
    assert state.images[0].fisher_vector_products == 10


def test_the_small_decomposition_fits_where_the_large_one_does_not(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 2**28)
    wide = DenseOperator(torch.zeros(1, 1, 1).expand(1, 20, 40_000))
    Exact(k=2).init(wide, 0)
    with pytest.raises(MemoryLimitError):
        Exact().init(wide, 0)


def test_on_a_network():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.Softplus()).double().requires_grad_(False)
    A = linearise(network, torch.rand(2, 1, 5, 6, dtype=torch.float64))
    for i, pairs in enumerate(Exact().pairs(run(Exact(), A))):
        jacobian = torch.autograd.functional.jacobian(lambda x: network(x[None]).flatten(), A.images[i]).flatten(1)
        truth = torch.linalg.svdvals(jacobian.T @ jacobian)
        assert torch.allclose(pairs.eigenvalues, truth, rtol=0, atol=1e-12)


def test_what_does_not_fit_is_refused_with_its_size_and_another_method(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 2**30)
    huge = DenseOperator(torch.zeros(1, 1, 1).expand(1, 50_000, 40_000))
    with pytest.raises(MemoryLimitError, match=r"n=40000 .*m=50000 .* needs 61\.2 GiB, but 1\.0 GiB are free on cpu\. Take solver=krylov"):
        Exact().init(huge, 0)
    Exact().init(PROBLEMS["tall"].operator(), 0)
