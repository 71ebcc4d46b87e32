"""What a plan says that a task will cost, against what it takes. Seconds are printed by scripts/costs.py: a test cannot hold them."""

import math
from types import SimpleNamespace

import pytest

from eigexp.cli.task_tables import cost_line
from eigexp.experiment import plan_cache
from eigexp.experiment.networks import build_network
from eigexp.experiment.parts import solve_settings
from eigexp.experiment.run import run
from eigexp.experiment.tasks import TaskList
from eigexp.sweep import cost, trial
from eigexp.sweep.cost import Cost, CostEstimates, expected_products, total
from eigexp.sweep.plan import make_plan
from scripts import costs

# Those of the script, at one small size.
CASES = [case for case in costs.CASES if not any(word.startswith("images.size=") for word in case)]
CASES += [["model=lgg", "dtype=float64", "solver.tol=1e-6"], ["model=onoff", "solver.k_bottom=0"]]


@pytest.fixture
def unhurried(monkeypatch):
    """Trials that come to their end, however slow the machine is."""
    monkeypatch.setattr(cost, "_TRIAL_SECONDS", math.inf)
    monkeypatch.setattr(cost, "_ALL_TRIALS_SECONDS", math.inf)


@pytest.mark.slow(0.5)
@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_a_trial_that_ends_says_the_products_and_the_formula_half_or_twice_as_many(tmp_path, case):
    words = [*costs.COMMON, "images.size=32", "figure.draw=false", *case]
    expected, taken = costs.costs(words, tmp_path)
    assert expected and expected.source == "trial" and expected.seconds > 0
    assert expected.products == taken.products
    (task,) = make_plan(words)
    assert 0.5 <= (expected_products(task.identity) or 0) / taken.products <= 2, taken


@pytest.mark.parametrize(
    "words", [[], ["solver.k=3"], ["solver.bottom_rtol=0.1"], ["solver=davidson", "against=lg", "floor=0.01"]], ids=str
)
def test_a_part_of_a_trial_is_extrapolated_to_within_its_range(tmp_path, words):
    """The whole is known: what is said after a part of its steps is compared with it."""
    (task,) = make_plan([*costs.COMMON, "images.size=16", "model=onoff", *words, f"store='{tmp_path}'"])
    settings = solve_settings(task.config)
    A, solver = settings.operator(TaskList(task.config)[0]), settings.solver
    state, curve = solver.init(A, 0), []
    while not solver.done(state):
        state = solver.step(A, state)
        curve.append(trial.point(solver.progress(state)[0], 0.01 * (len(curve) + 1), solver, A.shape.n))
    low, high = cost._TRIAL_SPREAD
    for share in (0.3, 0.6, 0.9):
        found = trial.extrapolated(curve[: int(share * len(curve))], solver.num_top)
        assert found and not found.certain
        assert low <= curve[-1].products / found.products <= high, (share, curve[-1], found)


def curve_of(*excesses, fraction=None):
    return [trial.Point(i + 1, i + 1.0, 0.5 * (i + 1), excess, fraction) for i, excess in enumerate(excesses)]


def test_residuals_that_fall_steadily_are_extrapolated_by_their_line():
    found = trial.extrapolated(curve_of(*(10 ** (4 - 0.2 * i) for i in range(1, 13))), 1)  # one after 20 steps
    assert found and found.steps == pytest.approx(20 + 11) and found.products == found.steps
    assert found.seconds == pytest.approx(0.5 * (found.products + 15))  # with a certificate
    rising = trial.extrapolated(curve_of(*(10 ** (4 - 0.5 * i) for i in range(1, 7)), *([10.0] * 3), *([12.0] * 3)), 1)
    assert rising and 12 < rising.steps - 11 < 24  # by the line through all
    flat = trial.extrapolated(curve_of(*([50.0] * 12)), 1)
    assert flat and flat.steps == 12 + 2 * 12 + 11  # no farther than twice what is known
    assert trial.extrapolated(curve_of(*([50.0] * 12)), 1, most=30).steps == 30
    assert trial.extrapolated(curve_of(*([50.0] * 7)), 1) is None


def test_a_solver_that_knows_what_is_left_is_believed():
    found = trial.extrapolated(curve_of(*([math.inf] * 10), fraction=0.1), 1)
    assert found and found.certain and found.products == 100


def test_all_trials_together_take_no_longer_than_a_plan_may(tmp_path, monkeypatch):
    plan = make_plan([*costs.COMMON, "model=ln", "images.size=16,17,18", f"store='{tmp_path}'"])
    clock = iter(range(10_000))

    def tick():
        return float(next(clock))

    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=tick, thread_time=tick))
    monkeypatch.setattr(cost, "_TRIAL_SECONDS", math.inf)  # a trial reads the real clock
    monkeypatch.setattr(cost, "_ALL_TRIALS_SECONDS", 207.0)  # each spends 5 s, one of them in a forward pass
    monkeypatch.setattr(cost, "_FEWEST_PASSES", 200)
    estimates = CostEstimates(plan.store)
    assert [estimates.of(task).source for task in plan] == ["trial", "trial", "formula"]


@pytest.mark.slow(1)
@pytest.mark.usefixtures("unhurried")
def test_other_solvers_are_tried_too(tmp_path):
    for words in (["solver=power", "solver.max_steps=30"], ["solver=exact"], ["solver=davidson", "against=lg", "floor=1"]):
        (task,) = plan = make_plan([*costs.COMMON, "images.size=16", "model=ln", f"store='{tmp_path}'", *words])
        expected = CostEstimates(plan.store).of(task)
        run(task.config)
        assert expected and expected.products == plan.store.read(task.id).record["fisher_vector_products"]


def test_a_stored_result_of_the_same_kind_says_more_than_the_formula(tmp_path):
    words = [*costs.COMMON, "images.size=16", "figure.draw=false", "model=ln", f"store='{tmp_path}'"]
    (first,) = plan = make_plan(words)
    run(first.config)
    record = plan.store.read(first.id).record
    (other,) = make_plan([*words, "images.names=[coins]"])
    assert CostEstimates(plan.store).of(other) == Cost(record["fisher_vector_products"], record["seconds"], "results")
    (fourth,) = make_plan([*words, "solver.k=2"])
    more = CostEstimates(plan.store).of(fourth)
    usual = [expected_products(task.identity) for task in (first, fourth)]
    assert more and more.source == "results" and more.products / record["fisher_vector_products"] == pytest.approx(usual[1] / usual[0])
    assert more.seconds / record["seconds"] == pytest.approx(usual[1] / usual[0])


@pytest.mark.usefixtures("unhurried")
def test_a_batch_costs_as_much_as_its_images(tmp_path):
    words = [*costs.COMMON, "images.size=16", "figure.draw=false", "model=ln", f"store='{tmp_path}'", "images.names=[camera,coins]"]
    one, _ = make_plan(words)
    (both,) = plan = make_plan([*words, "images.batch_size=2"])
    single, double = (CostEstimates(plan.store).of(task) for task in (one, both))
    assert single and double and double.products == 2 * single.products and single.source == "trial"


def test_a_model_that_fails_has_no_expected_cost(tmp_path):
    (task,) = plan = make_plan([*costs.COMMON, "images.size=8", "model=ln", f"store='{tmp_path}'"])
    assert CostEstimates(plan.store).of(task) is None  # LN takes images of at least 16 pixels


def test_the_line_under_a_plan():
    measured, tried, by_formula = Cost(100, 90, "results"), Cost(40, 2, "trial"), Cost(50, 4, "formula", 0.5, 2.0)
    assert cost_line([measured, tried, None]) == (
        "about 140 FVPs, 1 min 32 s on one process (1 task predicted by a trial on one image) and 1 task of unknown cost"
    )
    assert cost_line([by_formula, by_formula]) == (
        "50 to 200 FVPs, 4.0 s to 16 s on one process (2 tasks predicted by a formula: no stored results, too slow for a trial)"
    )
    assert cost_line([None, None]) == "2 tasks of unknown cost" and cost_line([]) == ""
    assert total([(by_formula, 3)]) == Cost(150, 12, "formula", 0.5, 2.0)
    assert total([(measured, 1), (Cost(100, 30, "part of a trial", 0.5, 2.0), 1)]) == Cost(200, 120, "part of a trial", 0.875, 1.25)


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
