"""What a worker reports of a task: done, failed, or without a result, each with its true reason."""

from dataclasses import dataclass

import pytest

from eigexp.experiment.run import run
from eigexp.store import Store
from eigexp.sweep import process
from eigexp.sweep.plan import make_plan
from eigexp.sweep.scheduler import Queues
from eigexp.sweep.task_files import write_tasks
from eigexp.sweep.task_status import FAILED, PARTIAL, TO_DO, StatusReader
from eigexp.sweep.worker import exit_code, run_task
from tests.sweep.sweeps import own_handlers


@dataclass
class Outcome:
    """Of a run that computed nothing."""

    reason: str = ""
    exit_code: int = 3
    signum: int | None = None


@pytest.fixture
def planned(tmp_path):
    """A store, and a function that plans a task in it and runs it."""
    store = Store(tmp_path)

    def report(run, *overrides):
        (task,) = make_plan(
            [
                "model=ln",
                "images.size=16",
                "logger=none",
                "figure.draw=false",
                "callbacks.progress.mode=quiet",
                f"store='{tmp_path}'",
                *overrides,
            ]
        )
        write_tasks(store, [task], {"launcher": "test"})
        found, _ = run_task(store, task.id, run, None)  # type: ignore[arg-type]
        return found, StatusReader(store, Queues({})).of(task.id, task.ids)

    with own_handlers():  # a worker keeps its own until it ends
        yield report


def test_memory_is_searched_where_the_process_has_grown_or_the_system_does_not_tell(monkeypatch):
    sizes, searched = iter([100, 100, 100 + 2**26, 101 + 2**26, 50, None, None, 7, 7]), []
    monkeypatch.setattr(process, "_resident", lambda: next(sizes))
    monkeypatch.setattr(process, "free_memory", lambda: searched.append(1))
    memory, counts = process.MemoryAfterTasks(), []
    for _ in range(5):
        memory.free()
        counts.append(len(searched))
    assert counts == [1, 1, 2, 3, 4]


def test_the_size_of_the_process_is_known():
    assert 2**24 < (process._resident() or 0) < 2**40


@pytest.mark.parametrize("limit", ["trainer.max_steps=1", "+trainer.limit_train_batches=0", "+trainer.fast_dev_run=true"])
def test_a_fit_that_ends_early_is_no_success_and_says_why(planned, limit):
    report, status = planned(lambda config, ids, cache: run(config, only=ids), limit)
    assert (report.state, report.code) == ("unfinished", 3)
    assert limit.lstrip("+").partition("=")[0] in report.message and "changed" not in report.message
    assert status.state in (TO_DO, PARTIAL) and status.detail == report.message


def test_a_result_that_the_configuration_no_longer_has_is_a_failure(planned):
    report, status = planned(lambda *_: Outcome())
    assert (report.state, report.code) == ("failed", 1)
    assert "changed since the sweep was planned" in report.message and status.state == FAILED


@pytest.mark.parametrize(("error", "state"), [(ValueError("x is wrong"), FAILED), (OSError("disk is full"), TO_DO)])
def test_an_error_is_recorded_and_one_of_the_disk_is_tried_again(planned, error, state):
    def failing(*_):
        raise error

    report, status = planned(failing)
    assert (report.state, report.code, report.message) == ("failed", 1, f"{type(error).__name__}: {error}")
    assert (status.state, status.detail) == (state, report.message)


@pytest.mark.parametrize(("codes", "code"), [([], 0), ([0, 0], 0), ([0, 3], 3), ([3, 1, 0], 1)])
def test_the_exit_code_of_several_tasks_is_that_of_the_worst(codes, code):
    assert exit_code(codes) == code
