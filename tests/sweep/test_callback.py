"""The Sweep callback in a Trainer of one's own."""

from pathlib import Path

import pytest

from eigexp.store import Store
from eigexp.sweep.callback import Sweep
from eigexp.sweep.plan import make_plan
from eigexp.training.callbacks import Checkpoint, Convergence, EigenvalueCurves
from eigexp.training.trainer import make_trainer

from tests.sweep.sweeps import SMALL, run_script, same_numbers, serial  # isort: skip

pytestmark = [pytest.mark.xdist_group("callback")]

WORDS = ["model=ln", "images.names=[camera,coins]", "solver.k=1,2", *SMALL]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return serial(WORDS, tmp_path_factory.mktemp("serial"))


def fit(sweep, *callbacks, **settings):
    trainer = make_trainer(accelerator="cpu", callbacks=[sweep, Convergence(), EigenvalueCurves(), *callbacks], **settings)
    trainer.fit(sweep.module(), sweep.data)


def plan(tmp_path):
    return make_plan([*WORDS, f"store='{tmp_path}'"])


@pytest.mark.slow(5)
def test_an_epoch_a_task_each_with_its_own_settings(tmp_path, expected):
    sweep = Sweep(plan(tmp_path))
    fit(sweep, Checkpoint(tmp_path / "checkpoints"))
    assert len(Store(tmp_path).ids()) == 4 and not sweep.failed
    assert same_numbers(Store(tmp_path), expected)
    before = {id: (Store(tmp_path).path(id) / "record.json").stat().st_mtime_ns for id in expected.ids()}
    fit(Sweep(plan(tmp_path)))
    assert before == {id: (Store(tmp_path).path(id) / "record.json").stat().st_mtime_ns for id in expected.ids()}


@pytest.mark.slow(3)
@pytest.mark.parametrize("where", ["begin", "next_step", "eigenpairs"])
def test_a_task_that_fails_is_recorded_and_the_next_begins(tmp_path, monkeypatch, where, expected):
    from eigexp.training import EigenModule
    from eigexp.training.task_state import TaskState

    owner = TaskState if where == "next_step" else EigenModule
    real = getattr(owner, where)

    def failing(self, *args):
        task = args[0] if where == "begin" else self.task
        if task.names == ("coins",) and task.model_name == "ln":
            raise FloatingPointError("coins are cursed")
        return real(self, *args)

    monkeypatch.setattr(owner, where, failing)
    sweep, store = Sweep(plan(tmp_path)), Store(tmp_path)
    fit(sweep)
    assert len(sweep.failed) == 2 and len(store.ids()) == 2
    assert "coins are cursed" in store.read_json(sweep.failed[0], "error.json")["traceback"]
    monkeypatch.undo()
    fit(Sweep(plan(tmp_path)))
    assert same_numbers(store, expected) and len(store.ids()) == 4


SCRIPT = """
from eigexp.sweep.callback import Sweep
from eigexp.sweep.plan import make_plan
from eigexp.training.callbacks import Convergence, EigenvalueCurves
from eigexp.training.trainer import make_trainer
from tests.sweep.test_callback import WORDS
from lightning.pytorch import Callback

class Who(Callback):
    def on_task_start(self, trainer, module):
        print("task", trainer.global_rank, module.task.ids[0], flush=True)

sweep = Sweep(make_plan([*WORDS, "store=results"]))
trainer = make_trainer(accelerator="cpu", devices=2, callbacks=[sweep, Convergence(), EigenvalueCurves(), Who()])
trainer.fit(sweep.module(), sweep.data)
"""


@pytest.mark.slow
def test_two_devices_share_the_tasks_and_do_none_twice(tmp_path, expected):
    output = run_script(tmp_path, SCRIPT)
    done = [line.split()[1:] for line in output.splitlines() if line.startswith("task")]
    assert sorted(id for _, id in done) == sorted(expected.ids())
    assert sorted(rank for rank, _ in done) == ["0"] * 2 + ["1"] * 2
    assert same_numbers(Store(Path(tmp_path) / "results"), expected)
