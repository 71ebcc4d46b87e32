import time

import pytest

from eigexp.errors import ConfigurationError
from eigexp.training import EigenModule, TaskData
from eigexp.training.callbacks import Convergence
from eigexp.training.time_left import relative_residual
from tests.training.toys import Power, SaveAt, module, task, trainer


def fit(convergence, solver=None, resume=None, *others):
    work = module(solver)
    host = trainer(convergence, *others)
    host.fit(work, TaskData([task("a"), task("b")]), ckpt_path=resume)
    return work, host


def test_by_itself_it_leaves_the_end_to_the_solver():
    work, host = fit(Convergence())
    assert work.done and host.global_step == 60


def test_a_looser_tolerance_ends_each_task_early():
    work, host = fit(Convergence(tol=1e-2))
    assert 2 < host.global_step < 60
    assert not work.done and work.task_over
    assert relative_residual(work.progress[0]) <= 1e-2


def test_patience_counts_steps_without_progress_and_survives_a_resume(tmp_path):
    slow = Power(tol=1e-30, max_steps=2000)
    work, _ = fit(Convergence(patience=40), slow)
    steps = work.progress[0].steps
    assert 40 < steps < 2000
    fit(Convergence(patience=40), slow, None, SaveAt(steps // 2, tmp_path / "x.ckpt"))
    work, _ = fit(Convergence(patience=40), slow, tmp_path / "x.ckpt")
    assert work.progress[0].steps == steps


def test_seconds():
    class Slow(Power):
        def step(self, A, state):
            time.sleep(0.02)
            return super().step(A, state)

    _, host = fit(Convergence(max_seconds=0.1), Slow())
    assert host.global_step < 15


def test_an_early_end_is_a_note_of_the_result(monkeypatch):
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Pairs:
        notes: tuple[str, ...] = ("one",)

    monkeypatch.setattr("eigexp.training.task_state.certify", lambda *_, **__: [Pairs()])
    work = EigenModule(Power(), linearise="double_backward")
    work.begin(task("a"))
    assert work.eigenpairs()[0].notes == ("one",)
    assert work.eigenpairs() is work.eigenpairs()
    work.end_task("ended by convergence.tol=0.01")
    assert work.eigenpairs()[0].notes == ("one", "ended by convergence.tol=0.01")


@pytest.mark.parametrize("settings", [{"tol": 0.0}, {"patience": -1}, {"max_seconds": float("nan")}])
def test_limits_are_positive(settings):
    with pytest.raises(ConfigurationError, match=rf"convergence.{next(iter(settings))}"):
        Convergence(**settings)
