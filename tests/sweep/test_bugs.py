"""A bug of the user's ends its own task: the sweep goes on, says which, and the next task has the same bits as ever."""

import os
import re
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from eigexp.cli import main
from eigexp.errors import ConfigurationError
from eigexp.experiment.plan_cache import PlanCache
from eigexp.experiment.run import run
from eigexp.store import Store
from eigexp.sweep.launcher import task_limits
from eigexp.sweep.local import WorkerPool
from eigexp.sweep.plan import make_plan
from eigexp.sweep.task_files import write_tasks
from eigexp.sweep.worker import run_task, work
from tests.sweep.sweeps import eigexp, own_handlers

SMALL = [
    "images.size=8",
    "figure.draw=false",
    "logger=none",
    "callbacks.progress.mode=quiet",
    "model=ln",
    "~model.name",
    "model._target_=tests.sweep.bugs.Buggy",
]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with own_handlers():
        yield Store(tmp_path / "results")


def tasks_of(*kinds: str):
    plan = make_plan([*SMALL, f"+model.kind={','.join(kinds)}", "store=results"])
    write_tasks(plan.store, list(plan), {})
    return list(plan)


def compute(store, task):
    report, _ = run_task(store, task.id, lambda config, ids, cache: run(config, only=ids, cache=cache), PlanCache())
    return report


@pytest.mark.parametrize(
    ("kind", "message"),
    [("raises", "the user's own bug"), ("exits", "called sys.exit(7)"), ("eats_memory", "no room for another list")],
)
def test_a_task_that_fails_says_why_and_the_next_is_computed(store, kind, message):
    bad, good = tasks_of(kind, "none")
    report = compute(store, bad)
    assert (report.state, report.code) == ("failed", 1) and message in report.message
    assert message in store.read_json(bad.id, "error.json")["message"]
    assert compute(store, good).state == "done" and store.has(good.id) and not store.has(bad.id)


@pytest.mark.slow(1)
def test_a_task_that_allocates_without_end_stops_at_its_limit_and_the_next_is_computed(store):
    taken = int(re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
    plan = make_plan([*SMALL, "+model.kind=eats_memory_for_real,none", "store=results"])
    write_tasks(plan.store, list(plan), task_limits(None, f"{taken + 2**28}"))
    bad, good = plan
    before = resource.getrlimit(resource.RLIMIT_DATA)
    report = compute(store, bad)
    assert report.state == "failed" and "launcher.task_memory" in report.message
    assert (store.read_json(bad.id, "error.json") or {})["transient"] and resource.getrlimit(resource.RLIMIT_DATA) == before
    assert compute(store, good).state == "done"


@pytest.mark.parametrize("words", [["launcher.task_memory=much"], ["launcher.task_memory=-1"], ["launcher.task_seconds=0"]])
def test_limits_of_a_task_that_make_no_sense_are_refused(words):
    with pytest.raises(ConfigurationError, match=f"{words[0].partition('=')[2]}"):
        make_plan([*SMALL, "+model.kind=none", *words])


@pytest.mark.slow(1)
def test_what_a_task_changes_for_the_whole_process_does_not_reach_the_next(store, tmp_path):
    bad, good = tasks_of("changes_everything", "none")
    draws = [torch.rand(1), np.random.rand(1)]
    state = torch.get_rng_state(), np.random.get_state()[1]
    compute(store, bad)
    assert os.getcwd() == str(tmp_path) and "EIGEXP_TEST_LEFT" not in os.environ
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state[0]) and np.array_equal(np.random.get_state()[1], state[1]) and len(draws) == 2
    assert compute(store, good).state == "done"
    (alone,) = make_plan([*SMALL, "+model.kind=none", "store=alone"])
    run(alone.config, only=alone.ids)
    expected = Store("alone").read(good.id).arrays
    assert all(np.array_equal(value, expected[name]) for name, value in store.read(good.id).arrays.items())


def test_a_damaged_file_of_a_task_stops_no_worker_and_no_sweep(store, caplog):
    damaged, good = tasks_of("changes_everything", "none")
    (store.path(damaged.id) / "job.json").write_text('{"ids": [')
    reports = []
    code = work(store, [damaged.id, good.id], lambda config, ids, cache: run(config, only=ids, cache=cache), reports.append)
    assert code == 1 and [report.state for report in reports] == ["failed", "done"]
    assert "is damaged" in reports[0].message and main(["sweep", *SMALL, "+model.kind=changes_everything,none", "store=results"]) == 1
    assert store.has(good.id) and store.read_json(damaged.id, "job.json")["ids"] == [damaged.id]


def test_a_sweep_goes_on_where_a_task_kills_its_process(tmp_path, monkeypatch):
    found = eigexp(tmp_path, "sweep", *SMALL, "+model.kind=kills,none", "store=results")
    assert found.returncode == 1 and "SIGKILL" in found.stdout + found.stderr and "Traceback" not in found.stderr
    assert len(Store(tmp_path / "results").ids()) == 1


def test_a_run_of_a_model_that_fails_is_one_line(store, capsys):
    assert main(["run", *SMALL, "+model.kind=raises", "store=results"]) in (1, 2)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("eigexp: ")]
    assert "the user's own bug" in line


def test_a_pool_gives_the_handlers_of_signals_back(store, monkeypatch):
    monkeypatch.setattr(WorkerPool, "_feed", lambda *arguments: None)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)}
    WorkerPool([], store, [{}]).run(lambda *report: None)
    assert {number: signal.getsignal(number) for number in before} == before
