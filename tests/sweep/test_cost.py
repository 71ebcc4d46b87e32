"""What a plan says that a task will cost, against what it takes. Seconds are printed by scripts/costs.py: a test cannot hold them."""

import pytest

from eigexp.cli.task_tables import cost_line
from eigexp.experiment import plan_cache
from eigexp.experiment.networks import build_network
from eigexp.experiment.run import run
from eigexp.sweep.cost import Cost, CostEstimates, expected_products, total
from eigexp.sweep.plan import make_plan
from scripts import costs

# Those of the script, at one small size.
CASES = [case for case in costs.CASES if not any(word.startswith("images.size=") for word in case)]
CASES += [["model=lgg", "dtype=float64", "solver.tol=1e-6"], ["model=onoff", "solver.k_bottom=0"]]


@pytest.mark.slow(0.4)
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_products_are_within_a_factor_of_two(tmp_path, case):
    expected, taken = costs.costs([*costs.COMMON, "images.size=32", "figure.draw=false", *case], tmp_path)
    assert expected and not expected.measured and expected.seconds > 0
    assert 0.5 <= expected.products / taken.products <= 2, (expected, taken)


def test_a_stored_result_of_the_same_kind_says_more_than_the_formula(tmp_path):
    words = [*costs.COMMON, "images.size=16", "figure.draw=false", "model=ln", f"store='{tmp_path}'"]
    (first,) = plan = make_plan(words)
    run(first.config)
    record = plan.store.read(first.id).record
    (other,) = make_plan([*words, "images.names=[coins]"])
    assert CostEstimates(plan.store).of(other) == Cost(record["fisher_vector_products"], record["seconds"], measured=True)
    (third,) = make_plan([*words, "solver=power"])
    assert CostEstimates(plan.store).of(third) is None  # of another solver, which no formula knows
    (fourth,) = make_plan([*words, "solver.k=2"])
    more = CostEstimates(plan.store).of(fourth)
    usual = [expected_products(task.identity) for task in (first, fourth)]
    assert more and more.measured and more.products / record["fisher_vector_products"] == pytest.approx(usual[1] / usual[0])
    assert more.seconds / record["seconds"] == pytest.approx(usual[1] / usual[0])


def test_a_batch_costs_as_much_as_its_images(tmp_path):
    words = [*costs.COMMON, "images.size=16", "figure.draw=false", "model=ln", f"store='{tmp_path}'", "images.names=[camera,coins]"]
    one, _ = make_plan(words)
    (both,) = plan = make_plan([*words, "images.batch_size=2"])
    single, double = (CostEstimates(plan.store).of(task) for task in (one, both))
    assert single and double and double.products == 2 * single.products


def test_a_model_that_fails_has_no_expected_cost(tmp_path):
    (task,) = plan = make_plan([*costs.COMMON, "images.size=8", "model=ln", f"store='{tmp_path}'"])
    assert CostEstimates(plan.store).of(task) is None  # LN takes images of at least 16 pixels


def test_the_line_under_a_plan():
    measured, by_formula = Cost(100, 90, measured=True), Cost(50, 4, measured=False)
    assert cost_line([measured, by_formula, None]) == (
        "about 150 FVPs, 1 min 34 s on one process (1 task by a formula, without stored results) and 1 task of unknown cost"
    )
    assert cost_line([None, None]) == "2 tasks of unknown cost" and cost_line([]) == ""
    assert total([(by_formula, 3)]) == Cost(150, 12, measured=False)


@pytest.mark.parametrize(
    "solver",
    [
        *(None, [None], "krylov", 3, {}, {"name": "power"}),
        *({"name": "krylov", **x} for x in ({"k": "x"}, {"k": [1]}, {"k": 0}, {"k": 1e308}, {"tol": 0}, {"tol": -1}, {"max_steps": ""})),
    ],
)  # fmt: skip
def test_a_record_with_strange_settings_of_its_solver_says_nothing(solver):
    """As a record of another user may have."""
    assert expected_products({"solver": solver}) is None


def test_settings_that_are_null_or_zero_are_those_of_k():
    usual = expected_products({"solver": {"name": "krylov", "k": 5}})
    for more in ({"k_top": None, "k_bottom": None}, {"k_top": 0}, {"k": 2, "k_top": 5}, {"tol": 1e-4}, {"max_steps": None}):
        assert expected_products({"solver": {"name": "krylov", "k": 5, **more}}) == usual


def test_a_model_is_built_once_for_all_its_tasks_of_a_plan(tmp_path, monkeypatch):
    plan = make_plan([*costs.COMMON, "model=ln", "images.size=16,24", f"store='{tmp_path}'"])
    built = []
    monkeypatch.setattr(plan_cache, "build_network", lambda node: built.append(node) or build_network(node))
    estimates = CostEstimates(plan.store)
    assert all(estimates.of(task) for task in plan) and len(plan) == 2
    assert len(built) == 1
