"""A sweep on a real Grid Engine: deleted, rescheduled, its master killed; every result whole, with the numbers of a serial run."""

import json

from eigexp.store import Store
from tests.slurm.cluster import wait_until
from tests.sweep.sweeps import SLOW, SMALL, eigexp, same_numbers, serial

FOUR = ["model=ln,lg", "images.names=[camera,coins]", *SMALL]
LONG = [*SLOW, "+callbacks.slow.seconds=0.3"]
ON_GRID = ["launcher=sge", "launcher.pack=1"]


def states(folder, around):
    shown = json.loads(eigexp(folder, "status", "--format", "json", environment=around).stdout)
    return {task["id"]: (task["state"], task.get("job", ""), task["detail"]) for task in shown}


def test_deleted_rescheduled_and_the_master_killed(grid, around, tmp_path):
    store = Store(tmp_path / "outputs" / "results")
    done = eigexp(tmp_path, "sweep", *FOUR, *LONG, *ON_GRID, environment=around)
    assert done.returncode == 0, done.stderr
    assert "submitted 4 tasks in 4 jobs" in done.stderr
    assert {state for state, _, _ in states(tmp_path, around).values()} <= {"queued", "running"}
    wait_until(lambda: len(list((store.root / "checkpoints").glob("*.ckpt"))) >= 2, 90, "two tasks at work")

    at_work = [job for state, job, detail in states(tmp_path, around).values() if detail.startswith("running on")]
    deleted, moved = at_work[:2]
    grid.ask("qdel", deleted)
    grid.ask("qmod", "-rj", moved)
    grid.restart_master()
    wait_until(lambda: not grid.jobs(), 150, "the end of the queue")
    left = [(job, detail) for state, job, detail in states(tmp_path, around).values() if state != "done"]
    assert [job for job, _ in left] == [deleted]
    assert "exit code" in left[0][1] or "killed" in left[0][1]

    again = eigexp(tmp_path, "sweep", *FOUR, *ON_GRID, environment=around)
    assert "3 done, 1 ended without result" in again.stderr and "submitted 1 task in 1 job" in again.stderr
    wait_until(lambda: not grid.jobs(), 90, "the end of the queue")
    assert same_numbers(store, serial(FOUR, tmp_path / "serial")) and len(store.ids()) == 4


def test_held_unseen_and_cancelled_jobs_are_called_that(grid, around, tmp_path):
    words = ["model=ln", "images.names=[camera,coins,coffee]", *SMALL, *ON_GRID, "launcher.options=['-h']"]
    assert eigexp(tmp_path, "sweep", *words, environment=around).returncode == 0
    assert {state for state, _, _ in states(tmp_path, around).values()} == {"held"}
    away = {**around, "SGE_QMASTER_PORT": "1"}
    found = states(tmp_path, away).values()
    assert {state for state, _, _ in found} == {"unknown"} and all("unable to" in detail for _, _, detail in found)
    refused = eigexp(tmp_path, "sweep", *words, environment=away)
    assert refused.returncode == 1 and "nothing was submitted" in refused.stderr
    assert eigexp(tmp_path, "cancel", environment=away).returncode == 1
    assert len(grid.jobs()) == 3
    done = eigexp(tmp_path, "cancel", environment=around)
    assert done.returncode == 0 and "cancelled 3 jobs" in done.stdout, done.stderr
    assert not grid.jobs()
    assert {(state, detail) for state, _, detail in states(tmp_path, around).values()} == {("to do", "cancelled")}
