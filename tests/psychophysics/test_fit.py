"""Thresholds of trials, D, and which model explains them: against observers whose thresholds are known."""

from dataclasses import asdict

import numpy as np
import pytest

from eigexp.cli.thresholds import _draw
from eigexp.errors import ConfigurationError
from eigexp.psychophysics import explain, fit_thresholds, read_trials, separations
from eigexp.psychophysics.explained import read_predictions
from eigexp.psychophysics.fit import Threshold, _Grid, _psignifit
from eigexp.psychophysics.tasks import TASKS
from scripts import coverage
from tests.docs.documented import commands
from tests.psychophysics.experiments import condition

NORMS = np.geomspace(0.25, 8, 8)


@pytest.mark.slow(2)
def test_the_script_counts_intervals_that_hold_the_truth(monkeypatch, capsys):
    assert "python -m scripts.coverage" in commands()
    monkeypatch.setattr("sys.argv", ["coverage", "--runs", "2", "--repeats", "30", "--bootstraps", "20"])
    coverage.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == list(TASKS)
    assert all(int(line.split(": ")[1].split()[0]) >= 1 for line in lines), lines


@pytest.mark.parametrize("task", TASKS)
def test_intervals_of_threshold_and_d_hold_the_truth(task):
    rng = np.random.default_rng(0)
    found = [
        condition(threshold, norms=threshold * NORMS * 1.2, trials=60, rng=rng, task=task, eigenindex=index)
        for index, threshold in enumerate((0.3, 2.4))
    ]
    thresholds = fit_thresholds(found, bootstraps=300)
    for threshold, true in zip(thresholds, (0.3, 2.4), strict=True):
        assert abs(np.log(threshold.norm / true)) < 0.5
        assert threshold.interval[0] < threshold.norm < threshold.interval[1] < 6 * threshold.interval[0]
        assert threshold.inside and 0 <= threshold.lapses < 0.15 and 0.5 < threshold.exponent < 2.5
    (d,) = separations(thresholds, {("a", 0): {"m": 1.0}, ("a", 1): {"m": 8.5}})
    assert d.interval[0] < np.log(8) < d.interval[1] < np.log(8) + 1.5
    assert d.predicted == pytest.approx(np.log(8.5))


@pytest.mark.slow(0.7)
def test_the_bootstrap_repeats_the_fit_itself():
    """For the data themselves its grid gives psignifit's own posterior mean; for others nearly that of a fit with a grid of their own."""
    rng = np.random.default_rng(1)
    one, *others = (condition(1.0, norms=NORMS, trials=40, rng=rng) for _ in range(5))
    grid = _Grid(found := _psignifit(one, TASKS["two_interval"]))
    assert grid.thresholds(one.correct[None])[0] == pytest.approx(found.parameter_estimate_mean["threshold"], abs=1e-9)
    own = [_psignifit(other, TASKS["two_interval"]).parameter_estimate_mean["threshold"] for other in others]
    np.testing.assert_allclose(grid.thresholds(np.stack([other.correct for other in others])), own, atol=0.02)
    same = [fit_thresholds([one], bootstraps=150, seed=4)[0].bootstraps for _ in range(2)]
    assert np.array_equal(*same) and len(same[0]) == 150


def test_a_threshold_beyond_the_norms_shown_is_marked():
    far = condition(40.0, norms=NORMS, trials=40, rng=np.random.default_rng(2))
    assert not fit_thresholds([far], bootstraps=10)[0].inside


def test_fewer_than_three_norms_are_refused():
    with pytest.raises(ConfigurationError, match=r"saw 2 norms of a, eigenindex 0\. A fit needs at least 3 different norms"):
        fit_thresholds([condition(1.0, norms=NORMS[:2], trials=9, rng=np.random.default_rng(0))])


def known(observer: str, index: int, norm: float, spread: float = 0.1) -> Threshold:
    about = condition(1.0, norms=np.array([0.1, 100.0]), trials=1, rng=np.random.default_rng(0), observer=observer, eigenindex=index)
    bootstraps = np.log(norm) + spread * np.random.default_rng(index).standard_normal(2000)
    return Threshold(about, float(np.log(norm)), (norm / 1.2, norm * 1.2), 1.0, 0.0, bootstraps)


PREDICTED = {("a", i): {"right": float(2**i), "flat": 1.0, "blind": np.inf if i else 1.0} for i in range(4)}


def test_the_model_in_proportion_is_best_with_its_scale():
    rows = explain([known(name, i, scale * 2**i) for name, scale in (("p", 3.0), ("q", 0.5)) for i in range(4)], PREDICTED)
    best = {name: next(row for row in rows if row.observer == name) for name in ("p", "q", "all")}
    assert {row.model for row in best.values()} == {"right"}
    assert best["p"].scale == pytest.approx(3) and best["q"].scale == pytest.approx(0.5)
    assert best["p"].error == pytest.approx(0, abs=1e-6) and best["all"].chi2 == pytest.approx(0, abs=1e-9) and best["all"].best == 1
    assert best["p"].scale_interval[0] < 3 < best["p"].scale_interval[1]
    flat = next(row for row in rows if row.observer == "p" and row.model == "flat")
    assert flat.error == pytest.approx(np.log(2) * np.sqrt(1.25), rel=0.01)  # of 0, 1, 2, 3 about their mean
    blind = next(row for row in rows if row.observer == "p" and row.model == "blind")
    assert blind.chi2 == np.inf and blind.scale is None


def test_a_model_that_predicts_a_part_only_is_left_out():
    partial = {key: {name: value for name, value in row.items() if name != "flat" or key[1] < 2} for key, row in PREDICTED.items()}
    assert {row.model for row in explain([known("p", i, 2.0**i) for i in range(4)], partial)} == {"right", "blind"}
    assert explain([known("p", 9, 1.0)], PREDICTED) == []


HEAD = "observer,task,id,model,image,eigenindex,alpha,shown,correct\n"


def test_trials_of_both_signs_are_one_level(tmp_path):
    path = tmp_path / "trials.csv"
    path.write_text(HEAD + "o,two_interval,a,m,i,0,1,0.9,1\no,two_interval,a,m,i,0,1,1.1,0\no,two_interval,a,m,i,0,2,2,1\n")
    (found,) = read_trials([path])
    assert (found.observer, found.task, found.id, found.model, found.image, found.eigenindex) == ("o", "two_interval", "a", "m", "i", 0)
    assert (found.norms.tolist(), found.correct.tolist(), found.trials.tolist()) == ([1.0, 2.0], [1, 1], [2, 1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks the column 'observer'"),
        (HEAD, "no trials"),
        (HEAD + "o,two_interval,a,m,i,0,1,1,2\n", "line 2: correct='2' must be 0 or 1"),
        (HEAD + "o,two_interval,a,m,i,0,1,-1,1\n", "line 2: shown='-1' must be a positive norm"),
        (HEAD + "o,two_interval,a,m,i,x,1,1,1\n", "line 2: eigenindex='x' must be a number"),
        (HEAD + "o,two_interval\n", "line 2: shown=None must be a number"),
    ],
)
def test_files_that_are_no_trials_are_refused_by_line(tmp_path, text, message):
    path = tmp_path / "trials.csv"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        read_trials([path])


PREDICTION = "id,eigenindex,seen_by,threshold\na,0,m,{}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id\n", "lacks the column"),
        ("id,eigenindex,seen_by,threshold\na,x,m,1\n", "line 2"),
        *((PREDICTION.format(value), f"line 2: threshold={value} is not positive") for value in ("0", "-1.5", "nan")),
    ],
)
def test_files_that_are_no_predictions_are_refused(tmp_path, text, message):
    path = tmp_path / "predictions.csv"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        read_predictions(path)


def test_an_empty_prediction_is_no_threshold(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text(PREDICTION.format(""))
    assert read_predictions(path) == {("a", 0): {"m": np.inf}}


@pytest.mark.parametrize(("norm", "inside"), [(0.105, False), (0.12, True), (1.0, True), (85.0, True), (95.0, False), (120.0, False)])
def test_a_threshold_is_inside_with_a_standard_error_on_either_side(norm, inside):
    threshold = known("o", 0, norm)  # norms from 0.1 to 100, standard error 0.093
    assert threshold.inside is inside


def test_the_figure_leaves_out_thresholds_that_no_model_predicts(tmp_path):
    found = [*(known("p", i, 2.0**i) for i in range(4)), known("p", 9, 500.0)]
    rows = [asdict(row) for row in explain(found, PREDICTED)]
    assert {row["thresholds"] for row in rows} == {4}
    _draw(found, PREDICTED, rows, tmp_path / "thresholds.png")
    assert (tmp_path / "thresholds.png").stat().st_size > 1000


def test_d_tells_whether_both_thresholds_are_inside():
    found = [known("p", 0, 1.0), known("p", 1, 8.0), known("q", 0, 1.0), known("q", 1, 500.0)]
    assert {row.observer: row.inside for row in separations(found)} == {"p": True, "q": False}
