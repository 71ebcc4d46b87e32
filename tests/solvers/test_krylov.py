"""What the Krylov solver promises beyond the contract."""

import re

import pytest
import torch

from eigexp.certificates import certify
from eigexp.errors import ConfigurationError, MemoryLimitError
from eigexp.images import SkimageImages
from eigexp.linalg.orthonormal import independent_rows
from eigexp.models import prepare_model
from eigexp.models.zoo import efficientnet_lite0
from eigexp.operators import DenseOperator, dense_matrix, linearise
from eigexp.solvers.exact import Exact
from eigexp.solvers.krylov import Krylov
from eigexp.solvers.krylov.initial_vectors import ROUNDS, structured_vectors
from eigexp.system import memory
from tests.solvers.photographs import coins, front_end_at
from tests.solvers.spectra import PROBLEMS, Problem, linear, run

REPEATED = Problem(200, 200, ((1.0, 1.0, 1.0, 0.6, 0.5, *linear(195, 0.2, 0.01)),))
SIDE = 16


def dense_with(vectors: torch.Tensor, eigenvalues: list[float], rest: tuple[float, float]) -> DenseOperator:
    """F on 16 x 16 images with given eigenpairs first, the others spread over `rest`."""
    n = SIDE * SIDE
    generator = torch.Generator().manual_seed(1)
    basis = torch.linalg.qr(torch.cat([vectors.double(), torch.randn(n - len(vectors), n, generator=generator, dtype=torch.float64)]).T).Q
    values = torch.cat([torch.tensor(eigenvalues, dtype=torch.float64), torch.linspace(*rest, n - len(vectors), dtype=torch.float64)])
    image = torch.rand(1, 1, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return DenseOperator((basis * values.sqrt()).T[None], image)


def constant() -> torch.Tensor:
    return torch.ones(1, SIDE * SIDE, dtype=torch.float64) / SIDE


def random_vectors(count: int, seed: int = 7) -> torch.Tensor:
    return torch.randn(count, SIDE * SIDE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("seed", range(6))
def test_repeated_top_eigenvalues_are_found(seed):
    solver = Krylov(k=3, k_bottom=0)
    (pairs,) = solver.pairs(run(solver, REPEATED.operator(), seed))
    assert pairs.eigenvalues.tolist() == pytest.approx([1.0, 1.0, 1.0], abs=1e-4)
    assert pairs.evidence_top == "krylov"


def test_without_the_check_they_are_missed_and_no_evidence_is_claimed():
    solver = Krylov(k=3, k_bottom=0, check_multiplicity=0)
    (pairs,) = solver.pairs(run(solver, REPEATED.operator()))
    assert pairs.eigenvalues.tolist() == pytest.approx([1.0, 0.6, 0.5], abs=1e-4)
    assert pairs.evidence_top == "converged"


@pytest.mark.parametrize("steps", [5, 15])
def test_the_check_for_repeated_values_takes_a_minimum_of_steps(steps):
    """A random start shows a copy of the largest value only after some steps, so that fewer would say nothing."""
    A = Problem(200, 200, ((1.0, 0.6, *linear(198, 0.2, 0.01)),)).operator()
    unchecked, checked = (run(Krylov(k_bottom=0, check_multiplicity=number), A).images[0].steps for number in (0, steps))
    assert checked == unchecked + steps + 1


@pytest.mark.parametrize("seed", range(3))
def test_a_mirror_symmetric_image_gives_the_exact_top(seed):
    half = coins(24)[..., :12]
    A = front_end_at("onoff", torch.cat([half, half.flip(-1)], dim=-1))
    truth = Exact(k=4).pairs(run(Exact(k=4), A))[0].eigenvalues[:4]
    solver = Krylov(k=4, k_bottom=0)
    (pairs,) = solver.pairs(run(solver, A, seed))
    assert pairs.eigenvalues.tolist() == pytest.approx(truth.tolist(), abs=1e-4 * float(truth[0]))


def test_a_structured_vector_that_beats_the_smallest_value_at_hand_is_kept():
    A = dense_with(torch.cat([constant(), random_vectors(1)]), [0.001, 2.0], rest=(1.0, 0.002))
    with_vectors, plain = (run(Krylov(structured_vectors=vectors, verify=False), A).images[0] for vectors in (True, False))
    assert with_vectors.assisted
    assert not plain.assisted
    assert with_vectors.space.values[-1] == pytest.approx(0.001, abs=1e-6)
    assert with_vectors.fisher_vector_products < plain.fisher_vector_products
    assert with_vectors.evidence_bottom == "converged"  # not verified
    assert plain.evidence_bottom == "krylov"


def test_one_that_does_not_is_left_out_for_half_a_product():
    operator = dense_with(random_vectors(1), [1.0], rest=(0.3, 0.05))
    vectors = independent_rows(torch.cat([structured_vectors(operator, 0, which) for which in range(ROUNDS)]))
    A = dense_with(vectors, [1.0] + [0.3] * (len(vectors) - 1), rest=(0.2, 0.05))
    solver = Krylov()
    state = run(solver, A)
    (pairs,) = solver.pairs(state)
    assert not state.images[0].assisted
    assert pairs.evidence_bottom == "krylov"
    assert pairs.eigenvalues[-1] == pytest.approx(0.05, abs=1e-4)
    assert state.images[0].fisher_vector_products % 1 == (len(vectors) / 2) % 1


def test_an_operator_without_an_image_has_no_structured_vectors():
    assert not any(len(structured_vectors(PROBLEMS["tall"].operator(), 0, which)) for which in range(ROUNDS))


@pytest.mark.parametrize("which", range(ROUNDS))
@pytest.mark.parametrize("shape", [(7,), (5, 6), (3, 5, 6), (2, 3, 4, 5)])
def test_structured_vectors_are_orthonormal_for_images_of_any_number_of_axes(shape, which):
    n = torch.Size(shape).numel()
    image = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    vectors = structured_vectors(DenseOperator(torch.eye(n)[None], image), 0, which)
    assert 0 < len(vectors) <= n
    assert torch.allclose(vectors @ vectors.T, torch.eye(len(vectors)), atol=1e-5)


def test_the_check_finds_a_smaller_value_that_the_structured_vectors_hid():
    A = dense_with(torch.cat([constant(), random_vectors(2)]), [0.005, 2.0, 0.001], rest=(1.0, 0.006))
    unverified = [run(Krylov(verify=False), A, seed).images[0] for seed in range(5)]
    hidden = [image for image in unverified if image.space.values[-1] > 0.004]  # the structured vector converged at once, on the wrong pair
    assert len(hidden) >= 3
    assert {image.evidence_bottom for image in hidden} == {"converged"}
    for seed in range(5):
        verified = run(Krylov(), A, seed).images[0]
        assert verified.space.values[-1] == pytest.approx(0.001, abs=2e-4)
        assert verified.evidence_bottom == "krylov"


def test_the_check_states_how_much_room_it_leaves():
    A = dense_with(torch.cat([constant(), random_vectors(1)]), [0.02, 1.0], rest=(0.3, 0.1))
    solver = Krylov()
    state = run(solver, A)
    (pairs,) = solver.pairs(state)
    (certified,) = certify(A, [pairs], solver=solver, state=state)
    assert pairs.evidence_bottom == "krylov"
    assert 0 <= pairs.bottom_margin <= 0.02
    lower, upper = certified.intervals[-1].tolist()
    assert lower <= 0.02 <= upper


@pytest.mark.parametrize("k", [1, 2])
def test_a_space_that_restarts_finds_the_same_pairs(k):
    problem = Problem(250, 240, (linear(240, 1.0, 0.01),))
    solver = Krylov(k=k, max_basis=2 * k + 14)
    state = run(solver, problem.operator())
    (pairs,) = solver.pairs(state)
    assert state.images[0].restarts > 1
    assert state.images[0].status == "converged"
    assert torch.allclose(pairs.eigenvalues, problem.truth[0][pairs.eigenindex], rtol=0, atol=1e-4)
    assert pairs.null_fraction is None


def test_what_a_caller_does_with_the_pairs_changes_no_later_solve():
    A, solver = DenseOperator(torch.diag(torch.linspace(1, 2, 30))[None]), Krylov()
    (first,) = solver.pairs(run(solver, A))
    kept = first.eigenindex.clone(), first.eigenvalues.clone()
    first.eigenindex.add_(7)
    first.eigenvalues.zero_()
    (again,) = solver.pairs(run(solver, A))
    assert torch.equal(again.eigenindex, kept[0]) and torch.equal(again.eigenvalues, kept[1])


def test_memory_is_asked_for_before_the_first_product(monkeypatch):
    A = DenseOperator(torch.zeros(1, 1, 1).expand(2, 10, 100_000))
    vector = 2 * 100_000 * 4
    monkeypatch.setattr(memory, "free_memory", lambda device: 500 * vector)
    with pytest.raises(MemoryLimitError, match=r"b=2 images of n=100000 .* needs .* Set solver\.max_basis=(\d+)") as error:
        Krylov().init(A, 0)
    fitting = int(re.findall(r"max_basis=(\d+)", str(error.value))[0])
    assert Krylov(max_basis=fitting).vectors(100_000) <= 500 < Krylov(max_basis=fitting + 1).vectors(100_000)
    Krylov(max_basis=fitting).init(A, 0)
    monkeypatch.setattr(memory, "free_memory", lambda device: 50 * vector)
    with pytest.raises(MemoryLimitError, match=r"smaller images\.size"):
        Krylov().init(A, 0)


def test_a_space_never_exceeds_max_basis():
    solver, A = Krylov(max_basis=30), Problem(90, 80, (linear(80, 1.0, 0.01),)).operator()
    state = solver.init(A, 0)
    while not solver.done(state):
        state = solver.step(A, state)
        assert len(state.images[0].space) < 30


def test_the_null_space_is_estimated():
    n, rank = 300, 200
    solver = Krylov()
    problem = Problem(n, n, ((*linear(rank, 1.0, 0.5), *[0.0] * (n - rank)),))
    estimates = [solver.pairs(run(solver, problem.operator(), seed))[0].null_fraction for seed in range(5)]
    assert sum(estimates) / 5 == pytest.approx(1 / 3, abs=0.06)


def test_a_bottom_near_zero_is_proven():
    solver, A = Krylov(), PROBLEMS["rank-deficient"].operator()
    (pairs,) = solver.pairs(run(solver, A))
    assert pairs.evidence_bottom == "proven"


def test_a_bottom_at_zero_is_not_proven_to_a_relative_tolerance_by_an_absolute_one():
    A = dense_with(random_vectors(2), [1.0, 5e-5], rest=(0.3, 0.1))
    absolute, relative = (run(Krylov(bottom_rtol=rtol), A).images[0] for rtol in (None, 1e-3))
    assert absolute.evidence_bottom == "proven"
    assert relative.evidence_bottom == "krylov"
    assert float(relative.residuals[-1]) <= 1e-3 * float(relative.space.values[-1])


def test_a_finished_state_is_small():
    A = PROBLEMS["tall"].operator()
    state = run(Krylov(), A).images[0]
    assert len(state.space) == 2
    assert state.check is None
    assert len(state.queue) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_basis": 0}, r"solver\.max_basis=0 must be a positive"),
        ({"check_multiplicity": -1}, r"solver\.check_multiplicity=-1 must not be negative"),
        ({"max_steps": 0}, r"solver\.max_steps=0 must be a positive"),
        ({"bottom_rtol": -0.1}, r"solver\.bottom_rtol=-0\.1 must be a positive"),
        ({"k_top": -2}, r"solver\.k_top=-2 must be at least 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Krylov(**settings)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "side", "figure"), [("onoff", 40, 47), ("ln", 40, 47), ("lgg", 40, 37), ("onoff", 64, 41), ("lgg", 64, 32)]
)
def test_front_ends_cost_no_more_than_a_tenth_above_the_prototype(name, side, figure, seed):
    A, solver = front_end_at(name, coins(side)), Krylov()
    state = run(solver, A, seed)
    (certified,) = certify(A, solver.pairs(state), solver=solver, state=state)
    assert certified.verified
    assert certified.status == "converged"
    assert certified.fisher_vector_products == state.images[0].fisher_vector_products + 2
    assert certified.fisher_vector_products <= 1.1 * figure


@pytest.mark.slow(5)
def test_fifty_largest_pairs_of_a_network_layer_take_at_most_a_hundred_products():
    model = prepare_model(efficientnet_lite0(), layer="_blocks.9", weights="imagenet")
    J = dense_matrix(linearise(model, SkimageImages("coffee", 32, grey=False)[0].pixels[None]))[0].double()
    truth = torch.linalg.svd(J, full_matrices=False).Vh[:50]
    solver = Krylov(k_top=50, k_bottom=0, tol=3e-8, check_multiplicity=0)
    state = run(solver, DenseOperator(J[None]))
    (pairs,) = solver.pairs(state)
    assert state.images[0].fisher_vector_products <= 100
    signs = (pairs.vectors * truth).sum(1, keepdim=True).sign()
    assert float((signs * pairs.vectors - truth).norm(dim=1).max()) <= 1e-6


@pytest.mark.parametrize("name", ["onoff", "ln", "lgg"])
def test_front_ends_agree_with_the_whole_spectrum(name):
    A = front_end_at(name, coins(24))
    exact, solver = Exact(k=2), Krylov(k=2)
    (truth,) = exact.pairs(run(exact, A))
    (pairs,) = solver.pairs(run(solver, A))
    assert pairs.eigenindex.tolist() == truth.eigenindex.tolist()
    assert torch.allclose(pairs.eigenvalues, truth.eigenvalues, rtol=0, atol=1e-4 * float(truth.eigenvalues[0]))
