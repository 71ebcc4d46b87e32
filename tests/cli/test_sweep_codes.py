"""Exit codes and counts of `eigexp sweep` and `eigexp status` where everything is stored already."""

from types import SimpleNamespace
from typing import Any

import pytest

from eigexp.cli import main
from eigexp.cli.sweep_progress import SweepProgress
from eigexp.config.compose import compose
from eigexp.experiment.run import run
from eigexp.store import Store
from eigexp.sweep.worker import TaskReport


@pytest.mark.parametrize(("steps", "code", "count"), [(2, 3, "1 done (1 tolerance not met)"), (300, 0, "1 done")])
def test_a_stored_result_that_did_not_converge_is_not_called_converged(tmp_path, capsys, steps, code, count):
    overrides = ["model=ln", "images.size=16", "logger=none", "figure.draw=false", f"solver.max_steps={steps}", f"store='{tmp_path}'"]
    run(compose([*overrides, "callbacks.progress.mode=quiet"]))
    capsys.readouterr()
    assert main(["sweep", *overrides]) == code
    assert capsys.readouterr().err.splitlines()[-1] == f"1 task: {count}"
    assert main(["status", "--store", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"1 task: {count}"


def test_the_last_line_of_a_sweep_counts_each_kind_of_end(capsys):
    task: Any = SimpleNamespace(model="ln", names=("camera",))
    progress = SweepProgress(6)
    for report in (
        TaskReport("a", "done", 0, 1.5),
        TaskReport("b", "done", 3, 2.0),
        TaskReport("c", "failed", 1, message="x is wrong"),
        TaskReport("d", "unfinished", 3, message="trainer.max_steps=1 ended the fit"),
        TaskReport("e", "stopped"),
    ):
        progress.show(report, task)
    progress.show_total()
    assert capsys.readouterr().err.splitlines() == [
        "[1/6] ln camera: done, 1.5 s",
        "[2/6] ln camera: done (tolerance not met), 2.0 s",
        "[3/6] ln camera: failed (x is wrong)",
        "[4/6] ln camera: unfinished (trainer.max_steps=1 ended the fit)",
        "2 of 6 tasks done, 1 tolerance not met, 1 failed, 1 without a result, 2 not computed; run the same command to continue.",
    ]


@pytest.mark.slow(3)
def test_a_line_names_few_of_many_images_and_says_whose_numbers_it_has(tmp_path, capsys):
    names = "[camera,coins,moon,page]"
    overrides = ["model=ln", f"images.names={names}", "images.size=16", "images.batch_size=4", "logger=none", "figure=null"]
    config = compose([*overrides, "callbacks.progress.mode=quiet", f"store='{tmp_path}'"])
    outcome = run(config)
    capsys.readouterr()
    task: Any = SimpleNamespace(model="ln", names=("camera", "coins", "moon", "page"))
    progress = SweepProgress(1, store=Store(tmp_path))
    progress.show(TaskReport(outcome.folders[0].name, "done", 0, 1.5), task)
    line = capsys.readouterr().err
    assert line.startswith("[1/1] ln camera, coins, ... (4 images): done, 1.5 s; of the first: largest ")
