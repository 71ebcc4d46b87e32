"""What a run says of itself: without a result it is never converged."""

import pytest

from eigexp.cli import main
from eigexp.config.compose import compose
from eigexp.experiment import writer
from eigexp.experiment.run import run
from eigexp.store import Store
from eigexp.store.maintenance import verify
from eigexp.store.owner import is_own
from eigexp.sweep.plan import make_plan
from eigexp.sweep.task_files import write_tasks
from eigexp.sweep.worker import run_task

SMALL = ["model=ln", "images.size=16", "logger=none", "callbacks.progress.mode=quiet"]


@pytest.mark.parametrize("limit", ["max_steps=1", "limit_train_batches=0", "fast_dev_run=True", "max_epochs=0"])
@pytest.mark.filterwarnings("ignore::UserWarning:lightning")
def test_a_run_without_a_result_ends_with_3_and_says_why(limit, tmp_path):
    override = f"{'' if limit.startswith('max_steps') else '+'}trainer.{limit}"
    outcome = run(compose([*SMALL, f"store='{tmp_path}'", override]))
    assert outcome.exit_code == 3 and not outcome.folders and len(outcome.unfinished) == 1
    assert outcome.reason.startswith(f"1 of 1 results were not computed: trainer.{limit} ended the fit")
    assert "\n" not in outcome.reason


def test_a_task_of_a_sweep_says_the_same(tmp_path):
    plan = make_plan([*SMALL, f"store='{tmp_path}'", "trainer.max_steps=1"])
    (task,) = plan
    write_tasks(plan.store, [task], {})
    report, _ = run_task(plan.store, task.id, lambda config, ids, cache: run(config, only=ids, cache=cache), None)
    assert (report.state, report.code) == ("unfinished", 3)
    assert "trainer.max_steps=1 ended the fit" in report.message and "changed since" not in report.message
    assert not Store(tmp_path).ids()


def note_of(store: Store) -> str:
    (id,) = store.ids()
    assert verify(store) == [] and is_own(store, id)
    return " ".join(store.read(id).record["notes"])


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EIGEXP_KEY_FILE", str(tmp_path / "key"))
    return Store(tmp_path / "results")


def test_the_result_is_stored_before_its_figure_is_drawn(store, monkeypatch):
    def draw(*args, **more):
        assert store.ids()  # a kill at this moment would cost the figure alone
        raise RuntimeError("no such font")

    monkeypatch.setattr(writer, "result_png", draw)
    assert main(["run", *SMALL, "store=results"]) == 0
    assert "the figure could not be drawn (RuntimeError: no such font)" in note_of(store)


def test_a_figure_is_part_of_the_result(store):
    assert main(["run", *SMALL, "store=results"]) == 0
    (id,) = store.ids()
    assert store.read(id).content("distortions.png").startswith(b"\x89PNG") and "could not" not in note_of(store)


@pytest.mark.slow(1)
@pytest.mark.parametrize("word", ["figure.draw=false", "figure=null"])
def test_a_run_without_figures_stores_the_same_numbers(store, monkeypatch, word):
    monkeypatch.setattr(writer, "result_png", lambda *args, **more: pytest.fail("a figure was drawn"))
    assert main(["run", *SMALL, "store=results", word]) == 0
    assert note_of(store) == "" or "figure" not in note_of(store)
    (id,) = store.ids()
    assert not (store.path(id) / "distortions.png").exists() and main(["plot", "distortions", id, "--store", "results"]) == 0


@pytest.mark.slow(0.6)
@pytest.mark.parametrize("stage", ["opened", "written to", "given the result", "closed"])
def test_a_logger_that_fails_costs_its_log_alone(store, stage, caplog):
    assert main(["run", *SMALL[:2], SMALL[3], "store=results", "+logger.bad._target_=tests.experiment.loggers.failing",
                 f"+logger.bad.at={stage}", "~logger.wandb"]) == 0  # fmt: skip
    assert f"could not be {stage} (OSError: no space)" in caplog.text
    assert stage == "closed" or f"could not be {stage} (OSError: no space)" in note_of(store)


@pytest.mark.slow(1)
def test_a_folder_of_logs_that_cannot_be_written_costs_the_log_alone(store, tmp_path):
    (tmp_path / "file").write_text("")
    assert main(["run", *SMALL[:2], SMALL[3], "store=results", "logger=csv", "logger.csv.save_dir=file/logs"]) == 0
    assert "the logger ResultLogger could not be" in note_of(store)


def test_names_that_are_not_utf8_are_stored_as_escapes(store, tmp_path):
    from PIL import Image

    name = b"caf\xe9\x1b[31m".decode("utf-8", "surrogateescape")
    (tmp_path / "photos").mkdir()
    Image.effect_noise((16, 16), 50).save(tmp_path / "photos" / f"{name}.png")
    assert main(["run", *SMALL, "images=folder", "images.path=photos", "store=results"]) == 0
    (id,) = store.ids()
    assert store.read(id).record["image"]["name"] == "caf\\udce9\\x1b[31m"
    assert main(["sweep", *SMALL, "images=folder", "images.path=photos", "store=swept"]) == 0  # by a process of its own
    assert Store("swept").ids() == [id]
