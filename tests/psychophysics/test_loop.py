"""The whole loop by its commands: results, an experiment, an observer who sees as one of the models, and the model that explains it."""

import csv
import math

import pytest

from eigexp.cli import main
from eigexp.experiment import linearity
from eigexp.experiment.networks import build_network
from eigexp.experiment.run import run
from eigexp.store import Store
from tests.docs.documented import arguments, commands
from tests.noise.test_runs import small

ALL = ["--where", "model=onoff"]
pytestmark = pytest.mark.slow(3)  # of 13 s, most are the results and their stimuli
DPRIMES = [word for d in (0.01, 0.02, 0.04, 0.08, 0.16) for word in ("--dprime", str(d))]


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loop")
    for noise in ("gaussian", "poisson"):
        run(small(folder / "results", "model=onoff", f"noise={noise}"))
    store = ["--store", str(folder / "results")]
    stimuli = str(folder / "stimuli")
    command = ["export", "--where", "model=onoff", *DPRIMES, "--output", stimuli, "--bits", "8", "--experiment", "two_interval"]
    assert main([*command, "--models", "lg", *store]) == 0
    return folder


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_amplitudes_are_predicted_thresholds_of_each_distortion(loop):
    manifest = rows(loop / "stimuli/manifest.csv")
    found = {(row["id"], row["eigenindex"], round(float(row["predicted_dprime"]), 9)) for row in manifest if row["eigenindex"]}
    assert len({(id, index) for id, index, _ in found}) == 4 and {d for *_, d in found} == {0.01, 0.02, 0.04, 0.08, 0.16}
    assert len(manifest) == 2 * (1 + 2 * 5 * 2)


def test_each_model_predicts_its_own_and_the_distortions_of_others(loop):
    found = {(row["id"], row["eigenindex"], row["seen_by"]): float(row["threshold"]) for row in rows(loop / "stimuli/predictions.csv")}
    assert len(found) == 4 * 3
    assert {name for *_, name in found} == {"onoff", "onoff, noise=poisson", "lg"}
    store = Store(loop / "results")
    for id in store.ids():
        record = store.read(id).record
        name = "onoff, noise=poisson" if "poisson" in str(record["identity"].get("noise")) else "onoff"
        own = found[id, str(record["eigenindex"][0]), name]
        assert own == pytest.approx(record["eigenvalues"][0] ** -0.5, rel=1e-4)


def test_the_fit_finds_the_observer_again(loop, capsys):
    trials = loop / "trials.csv"
    settings = ["--observer", "onoff", "--scale", "0.02", "--repeats", "80", "--seed", "0", "--output", str(trials)]
    assert main(["thresholds", "simulate", str(loop / "stimuli"), *settings]) == 0
    command = ["thresholds", "fit", str(trials), "--predictions", str(loop / "stimuli/predictions.csv"), "--bootstraps", "300"]
    capsys.readouterr()
    assert main([*command, "--output", str(loop / "fitted")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(loop / "fitted")
    found = {row["model"]: row for row in rows(loop / "fitted/models.csv")}
    assert list(found)[-1] == "lg" and float(found["lg"]["best"]) == 0 and float(found["lg"]["chi2"]) > 10 * float(found["onoff"]["chi2"])
    assert float(found["onoff"]["low"]) < 0.02 < float(found["onoff"]["high"])
    seen = [row for row in rows(loop / "stimuli/predictions.csv") if row["seen_by"] == "onoff"]
    predicted = {(row["id"], row["eigenindex"]): float(row["threshold"]) for row in seen}
    for row in rows(loop / "fitted/D.csv"):
        top, bottom = sorted((key for key in predicted if key[0] == row["id"]), key=lambda key: int(key[1]))
        assert float(row["low"]) < math.log(predicted[bottom] / predicted[top]) < float(row["high"])
    assert (loop / "fitted/thresholds.png").stat().st_size > 1000


def test_the_documented_commands(loop, tmp_path, monkeypatch, capsys):
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs/results").symlink_to(loop / "results")
    monkeypatch.chdir(tmp_path)
    typed = [arguments(command)[1:] for command in commands() if command.startswith(("eigexp thresholds", "eigexp export --where"))]
    export, simulate, *fits = sorted(typed, key=lambda words: (words[0] != "export", words[1] != "simulate"))
    assert main([*export, "--bits", "8", "--no-check"]) == 0
    for name in ("onoff", "onoff, noise=poisson"):  # without a check, each distortion has its own model's prediction alone
        path = tmp_path / "outputs/stimuli/predictions.csv"
        path.write_text(path.read_text().replace(f'"{name}"', name).replace(name, "onoff"))
    for seed, name in enumerate(("trials.csv", "trials_a.csv", "trials_b.csv")):
        assert main([*simulate, "--scale", "0.3", "--seed", str(seed), "--output", name]) == 0
    for words in fits:
        capsys.readouterr()
        assert main([*words, "--bootstraps", "20"]) == 0
        none_inside = all(row["inside"] == "False" for row in rows(tmp_path / "thresholds/thresholds.csv"))
        assert ("No threshold lies inside the norms shown" in capsys.readouterr().err) is none_inside
        assert {row["eigenindex"] for row in rows(tmp_path / "thresholds/thresholds.csv")} == {"0"}  # the other is clipped at all norms


def test_without_predictions_thresholds_are_still_fitted(loop, tmp_path, capsys):
    trials = tmp_path / "trials.csv"
    assert main(["thresholds", "simulate", str(loop / "stimuli"), "--observer", "onoff", "--scale", "0.04", "--output", str(trials)]) == 0
    for predictions in (
        ["--predictions", str(loop / "stimuli/predictions.csv")],
        [],
    ):  # files of the first fit are not left beside the second's
        fit = ["thresholds", "fit", str(trials), "--bootstraps", "20", "--output", str(tmp_path / "out")]
        assert main([*fit, *predictions]) == 0
    assert "no model is compared" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"thresholds.csv", "D.csv"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["export"], "Give ids of results, or --where"),
        (["export", "a", "--where", "model=onoff"], "or --where for a selection, not both"),
        (["export", *ALL, "--models", "lg"], "Add --experiment"),
        (["export", *ALL, "--models", "lg", "--no-check"], "--no-check builds none"),
        (["export", *ALL, "--bits", "16"], "Add --bits 8"),
        (["export", *ALL, "--repeats", "0"], "--repeats 0 must be at least 1"),
        (["export", *ALL, "--alpha", "-1"], "must be positive norms"),
        (["export", *ALL, "--eigenindex", "7"], "no eigendistortion of eigenindex 7"),
        (["export", *ALL, "--models", "nosuch"], "model=nosuch is unknown"),
        (["thresholds", "simulate", "STIMULI", "--observer", "lg", "--repeats", "0"], "repeats=0 must be at least 1"),
        (["thresholds", "simulate", "STIMULI", "--observer", "lg", "--seed", "-1"], "seed=-1 must be 0 or larger"),
        (["export", "--where", "model=none"], "no result in"),
        (["thresholds", "simulate", "nowhere"], "--observer MODEL"),
        (["thresholds", "simulate", "STIMULI", "--observer", "ln"], "no prediction of 'ln'"),
        (["thresholds", "simulate", "STIMULI", "--observer", "lg", "--scale", "-1"], "scale=-1.0 must be positive"),
    ],
)
def test_what_is_missing_is_said_in_one_line_and_nothing_is_written(loop, tmp_path, capsys, words, message):
    words = [str(loop / "stimuli") if word == "STIMULI" else word for word in words]
    words += ["--store", str(loop / "results")] if words[0] == "export" else []
    words += ["--experiment", "two_interval"] if "--where" in words and "Add --experiment" not in message else []
    assert main([*words, "--output", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


def test_models_are_built_once(loop, tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(linearity, "build_network", lambda node: built.append(node) or build_network(node))
    command = ["export", *ALL, "--alpha", "0.5", "--bits", "8", "--experiment", "two_interval", "--store", str(loop / "results")]
    assert main([*command, "--output", str(tmp_path)]) == 0
    assert len(built) == 1  # both results have the same model, with different noise
