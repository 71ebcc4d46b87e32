"""The choice of a solver by sizes."""

import logging

import pytest
import torch

from eigexp.certificates import certify
from eigexp.errors import ConfigurationError, MemoryLimitError
from eigexp.models import OnOff
from eigexp.operators import CountedOperator, linearise
from eigexp.operators.base import OperatorShape
from eigexp.solvers.auto import Auto
from eigexp.solvers.exact import Exact
from eigexp.solvers.krylov import Krylov
from eigexp.solvers.krylov.image_state import KrylovImage
from eigexp.solvers.sparse import Sparse
from eigexp.solvers.sparse.image_state import SparseImage
from tests.solvers.layers import noise, strided
from tests.solvers.spectra import Problem, differences, linear, run, through_disk

SMALL, LARGE = Problem(40, 50, (linear(40, 1.0, 0.01),)), Problem(300, 250, (linear(250, 1.0, 0.01),))


@pytest.mark.parametrize(
    ("settings", "m", "n", "chosen"),
    [
        ({}, 400, 65536, "exact"),
        ({}, 401, 65536, "krylov"),
        ({}, 65536, 80, "exact"),
        ({}, 65536, 81, "krylov"),
        ({}, 60, 60, "exact"),
        ({"k": 5}, 2000, 3072, "exact"),
        ({"k": 5}, 3072, 401, "krylov"),
        ({"bottom_rtol": 0.01}, 4000, 1500, "exact"),
        ({"bottom_rtol": 0.01}, 4000, 1600, "krylov"),
        ({"k": 100}, 8000, 5000, "krylov"),  # a decomposition of 5000 x 5000
        ({"k": 10}, 4000, 150528, "krylov"),  # a Jacobian of 2.4 GB
    ],
)
def test_the_rule(settings, m, n, chosen):
    assert Auto(**settings).choice(OperatorShape(1, m, n), torch.float32).name == chosen
    double = "sparse" if "bottom_rtol" in settings and chosen == "krylov" else chosen
    assert Auto(**settings).choice(OperatorShape(1, m, n), torch.float64).name == double


@pytest.mark.parametrize(
    ("problem", "solver", "reason"), [(SMALL, Exact(k=1), "at most the limit of 400"), (LARGE, Krylov(), "more than the limit of 80")]
)
def test_it_computes_what_the_chosen_one_computes_and_says_why(problem, solver, reason, caplog):
    A = problem.operator()
    with caplog.at_level(logging.INFO):
        state = run(Auto(), A)
    assert f"solver=auto: {solver.name}" in caplog.text
    assert reason in caplog.text
    assert differences(state.to_dict(), run(solver, A).to_dict()) == []
    (pairs,) = certify(A, Auto().pairs(state), solver=Auto(), state=state)
    assert pairs.verified
    assert pairs.method == "auto"


@pytest.mark.slow
def test_a_relative_tolerance_takes_a_sparse_jacobian_where_there_is_one(caplog):
    A, solver = linearise(strided(3), noise(3, 40, 40)), Auto(bottom_rtol=0.01)
    with caplog.at_level(logging.INFO):
        state = run(solver, A)
    assert "solver=auto: sparse" in caplog.text
    assert differences(state.to_dict(), run(Sparse(bottom_rtol=0.01), A).to_dict()) == []
    first = solver.step(A, solver.init(A, 0))
    assert differences(solver.step(A, through_disk(solver, first)).to_dict(), solver.step(A, first).to_dict()) == []


@pytest.mark.slow
def test_a_krylov_space_begins_where_the_jacobian_is_not_sparse_and_its_cost_counts(caplog):
    problem = Problem(1700, 1600, (linear(1600, 1.0, 0.5),))
    A, solver = CountedOperator(problem.operator()), Auto(bottom_rtol=0.01)
    with caplog.at_level(logging.INFO):
        state = run(solver, A)
    assert "solver=auto: krylov, because responses depend on 1 x 1600 of 1 x 1600 pixels" in caplog.text
    (pairs,) = certify(problem.operator(), solver.pairs(state), solver=solver, state=state)
    assert pairs.status == "converged"
    assert pairs.evidence == {"top": "krylov", "bottom": "krylov"}
    assert state.images[0].fisher_vector_products == A.fisher_vector_products[0]


def test_a_krylov_space_begins_where_factors_of_the_jacobian_would_be_too_large():
    A, solver = CountedOperator(linearise(OnOff().double(), noise(1, 256, 256))), Auto(bottom_rtol=0.01)
    state = solver.init(A, 0)
    assert isinstance(state.images[0], SparseImage)
    (image,) = solver.step(A, state).images
    assert isinstance(image, KrylovImage)
    assert image.fisher_vector_products == A.fisher_vector_products[0] > 0


def test_a_krylov_space_that_takes_long_gives_way_to_the_jacobian(caplog):
    n = 310  # more than a space holds before it restarts
    problem = Problem(n, n, (tuple(torch.logspace(0, -8, n, dtype=torch.float64).tolist()),))
    A, solver = CountedOperator(problem.operator()), Auto(tol=1e-12)
    state = solver.init(A, 0)
    while isinstance(state.images[0], KrylovImage):
        assert not state.images[0].done and state.images[0].fisher_vector_products < n
        state = solver.step(A, state)
    assert state.images[0].fisher_vector_products == n
    assert differences(solver.step(A, through_disk(solver, state)).to_dict(), solver.step(A, state).to_dict()) == []
    with caplog.at_level(logging.INFO):
        state = run(solver, A)
    assert f"solver=auto: exact after {n} products, since" in caplog.text
    (pairs,) = certify(problem.operator(), solver.pairs(state), solver=solver, state=state)
    assert pairs.evidence == {"top": "proven", "bottom": "proven"}
    assert state.images[0].fisher_vector_products == n + n / 2


@pytest.mark.slow(0.5)
def test_a_krylov_space_goes_on_where_there_is_no_memory_for_the_jacobian(caplog, monkeypatch):
    n = 310
    A = Problem(n, n, (tuple(torch.logspace(0, -8, n, dtype=torch.float64).tolist()),)).operator()
    solver = Auto(tol=1e-12, max_steps=n + 20)

    def refuse(self, A):
        raise MemoryLimitError("It needs 2 GiB.")

    monkeypatch.setattr(Exact, "check_memory", refuse)
    with caplog.at_level(logging.INFO):
        (image,) = run(solver, A).images
    assert isinstance(image, KrylovImage) and image.fisher_vector_products > n
    assert caplog.text.count("krylov continues, because the Jacobian does not fit: It needs 2 GiB.") == 1


def test_many_pairs_take_no_more_products_than_the_jacobian():
    problem = Problem(256, 256, (linear(256, 1.0, 0.01),))
    state = run(Auto(k=50), problem.operator())
    assert state.images[0].fisher_vector_products == 128  # of 256 rows, half a product each


@pytest.mark.parametrize("problem", [SMALL, LARGE])
def test_a_saved_state_goes_on(problem):
    A, solver = problem.operator(), Auto()
    state = solver.step(A, solver.init(A, 0))
    again = through_disk(solver, state)
    assert type(again.images[0]) is type(state.images[0])
    assert differences(solver.step(A, again).to_dict(), solver.step(A, state).to_dict()) == []


@pytest.mark.parametrize("settings", [{"k": 0}, {"tol": -1.0}, {"bottom_rtol": 0.0}, {"max_steps": 0}])
def test_settings_that_cannot_work_are_refused(settings):
    with pytest.raises(ConfigurationError, match=rf"solver\.{next(iter(settings))}="):
        Auto(**settings)


def test_the_batch_is_one_choice():
    A = Problem(40, 50, (linear(40, 1.0, 0.01), linear(40, 2.0, 0.1))).operator(torch.float32)
    assert all(pairs.evidence_top == "proven" for pairs in Auto().pairs(run(Auto(), A)))
