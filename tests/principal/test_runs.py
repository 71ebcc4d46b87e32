"""Runs and sweeps of principal distortions: stored, listed, drawn, resumed after a kill, and skipped when they are there."""

import signal
import time

import numpy as np
import pytest

from eigexp.cli import main
from eigexp.errors import ConfigurationError
from eigexp.experiment.parts import build
from eigexp.experiment.run import run
from eigexp.experiment.tasks import TaskList
from eigexp.principal import Principal
from eigexp.report.page import write_page
from eigexp.report.plot import plot
from eigexp.report.principal import principal_chart
from eigexp.report.svg import chart_svg
from eigexp.report.view import View
from eigexp.store import Store
from eigexp.store.identity import identity_words
from eigexp.store.selection import Selection
from eigexp.training import EigenModule, TaskData, make_trainer
from tests.docs.documented import arguments, commands
from tests.noise.test_runs import small
from tests.sweep.sweeps import SLOW, SMALL, begin, eigexp, same_numbers, serial

WORDS = ["experiment=principal", "model=ln", "against=[lg,onoff]", "images.size=16", "subspace=band", "subspace.high=0.2"]
WORDS += ["solver.restarts=0"]


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    outcome = run(small(root, *WORDS, "figure.draw=true"))
    assert outcome.exit_code == 0
    return Store(root).read(outcome.folders[0].name)


def test_the_record_says_what_was_found(result):
    facts, record = result.record["principal"], result.record
    assert facts["models"] == ["ln", "lg", "onoff"] and record["settings"]["against"] == "lg,onoff" and record["settings"]["floor"] == 0.01
    assert [about["model"] for about in record["identity"]["against"]] == [{"name": "lg"}, {"name": "onoff"}]
    assert identity_words(record["identity"]).endswith("solver=principal restarts=0 against=[lg,onoff] floor=0.01")
    logs = np.array(facts["log_sensitivities"])
    assert np.var(logs[:, 0] - logs[:, 1]) == pytest.approx(facts["value"]) and 0 < facts["value"] <= facts["bound"]
    (low_u, high_u), (low_v, high_v) = record["intervals"]
    assert np.log(low_u / high_v) / 2 == pytest.approx(facts["value"] ** 0.5)
    assert np.log(high_u / low_v) / 2 == pytest.approx(facts["bound"] ** 0.5)
    assert facts["curvature"] < 1e-5 and len(facts["restarts"]) == 3 and facts["evaluations"] == record["steps"]
    assert len(result.curves) == record["steps"] and "at least" in record["notes"][0]


def test_it_is_drawn_and_listed(result, tmp_path, monkeypatch):
    store = Store(result.folder.parents[1])
    assert {path.name for path in result.figures} == {"distortions.png", "principal.png"}
    chart = principal_chart(View.of(result))
    assert len(chart.marks) == 6 and "lg, u" in chart_svg(chart)
    monkeypatch.chdir(tmp_path)
    (command,) = (command for command in commands() if "plot principal" in command)
    assert main([*arguments(command)[1:], "--store", str(store.root)]) == 0 and (tmp_path / "principal.png").is_file()
    assert "thresholds of principal distortions" in write_page(store, tmp_path / "page.html").read_text()
    (row,) = Selection.of_store(store).rows
    assert row["verified"] is False and row["model"] == "ln"
    plain = Store(tmp_path / "plain")
    run(small(plain.root, "images.size=16"))
    with pytest.raises(ConfigurationError, match=r"has no principal distortions, which `eigexp plot principal` draws"):
        plot(plain, "principal", output=tmp_path / "none.svg")


def test_stored_distortions_are_confirmed_by_validation(result):
    config = small(result.folder.parents[1], *WORDS)
    module = EigenModule(Principal(restarts=0), subspace=build(config["subspace"], "subspace"))
    trainer = make_trainer(logger=False)
    trainer.validate(module, TaskData(TaskList(config), Store(result.folder.parents[1])), verbose=False)
    assert float(trainer.callback_metrics["confirmed"]) == 1
    assert float(trainer.callback_metrics["top/1/eigenvalue"]) == pytest.approx(result.record["eigenvalues"][0], rel=1e-6)


@pytest.mark.slow(3)
def test_a_run_that_was_killed_goes_on_to_the_same_numbers(tmp_path):
    words = [*WORDS, *SMALL, "images.size=16"]
    process = begin(tmp_path, "run", *words, "store=results", *SLOW, "+callbacks.slow.seconds=0.05")
    deadline = time.monotonic() + 900
    while not list(tmp_path.glob("results/checkpoints/*.ckpt")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait(900)
    assert not Store(tmp_path / "results").ids()
    who = ["+callbacks.who._target_=tests.sweep.slow.Who", f"+callbacks.who.path={tmp_path}/who.txt"]
    resumed = serial([*words, *who], tmp_path / "results")
    assert int((tmp_path / "who.txt").read_text().split()[2]) > 0
    assert same_numbers(resumed, serial(words, tmp_path / "uninterrupted"))


@pytest.mark.slow(5)
def test_a_sweep_stores_a_result_for_each_image_and_skips_what_is_there(tmp_path):
    words = ["sweep", *WORDS, "images.names=[camera,moon]", "logger=none", "store=results"]
    assert eigexp(tmp_path, *words).returncode == 0
    store = Store(tmp_path / "results")
    records = {record["image"]["name"]: record for record in store.records()}
    assert set(records) == {"camera", "moon"} and all(record["status"] == "converged" for record in records.values())
    assert eigexp(tmp_path, *words).returncode == 0
    assert {record["image"]["name"]: record for record in store.records()} == records


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["against=[lg]"], r"lists models, which solver=principal compares\. Add experiment=principal"),
        (["solver=principal", "against=lg"], r"solver=principal compares the model with others\. List them"),
        (["solver=principal"], r"solver=principal compares the model with others\. List them"),
        (["experiment=principal", "against=[lg]", "norm=csf"], r"against= and norm= are both set"),
        (
            ["experiment=principal", "against=[lg]", "trainer.strategy=block"],
            r"strategy=block divides the products with one model, but solver=principal takes .*\. Remove trainer\.strategy=block\.",
        ),
        (["experiment=pair", "against=lg", "trainer.strategy=block"], r"block divides .*, but solver=davidson takes those of several"),
    ],
)
def test_what_does_not_fit_is_refused(words, message, tmp_path):
    with pytest.raises(ConfigurationError, match=message):
        TaskList(small(tmp_path, *words))


def test_models_of_a_list_have_settings_of_their_own(tmp_path):
    words = ["experiment=principal", "model=ln", "against=[ln,ln]"]
    ids = {
        TaskList(small(tmp_path, *words, *more)).ids[0] for more in ((), ("against.ln_2._target_=eigexp.models.OnOff",), ("against=[ln]",))
    }
    assert len(ids) == 3
    with pytest.raises(ConfigurationError, match=r"against\.ln_2\.nothing is unknown\. .*layer"):
        small(tmp_path, *words, "against.ln_2.nothing=1")
