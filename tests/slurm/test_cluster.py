"""Sweeps on a real Slurm: preempted, signalled, daemons killed and restarted; every result whole, with the numbers of a serial run."""

import json

from eigexp.store import Store
from tests.slurm.cluster import wait_until
from tests.sweep.sweeps import SLOW, SMALL, same_numbers, serial

from eigexp.sweep.scheduler import Queues  # isort: skip
from eigexp.sweep.task_status import IN_FLIGHT, StatusReader  # isort: skip

NAMES = "images.names=[camera,coins,coffee]"
TWELVE = ["model=ln,lg", NAMES, "seed=0,1", *SMALL]
LONG = [*SLOW, "+callbacks.slow.seconds=0.1"]  # tasks of some seconds, so that a signal hits each within its iterations
WHO = ["+callbacks.who._target_=tests.sweep.slow.Who", "+callbacks.who.path=who.txt"]
ON_SLURM = ["launcher=slurm", "launcher.pack=3", "launcher.warning=5", "launcher.time=10"]


def running(cluster, node):
    found = [job for job, state, where in cluster.jobs() if state == "RUNNING" and where == node]
    return found[0] if found else None


def at_work(store, job):
    """A worker of this job has a task: Slurm has launched it."""
    return any(s.detail.startswith("running on") for s in StatusReader(store, Queues({})).all() if s.job.get("job") == job)


def saved(store):
    return list((store.root / "checkpoints").glob("*.ckpt"))


def resumed(folder):
    """How many tasks began within their iterations."""
    return sum(int(line.split()[2]) > 0 for line in (folder / "who.txt").read_text().splitlines())


def test_preempted_signalled_and_daemons_restarted(cluster, sweep, tmp_path):
    store = Store(tmp_path / "outputs" / "results")
    assert "submitted 12 tasks in 4 jobs" in sweep(*TWELVE, *LONG, *WHO, *ON_SLURM)
    wait_until(lambda: len(saved(store)) >= 2, 90, "two tasks at work")

    victim = running(cluster, "n2")
    cluster.tell("scancel", "--signal=USR2", victim)  # as Slurm does before the time limit
    cluster.ask("sbatch", "--partition=high", "--nodelist=n1", "--output=/dev/null", "--wrap=sleep 1")
    wait_until(lambda: "Restarts=0" not in cluster.ask("scontrol", "show", "job", victim), 30, "requeued job")
    wait_until(lambda: at_work(store, running(cluster, "n2")), 60, "another job at work on n2")
    cluster.kill_node("n2")
    cluster.start_node("n2")
    restarts = cluster.ask("scontrol", "show", "job", victim)
    cluster.restart_controller()

    reference = serial(TWELVE, tmp_path / "serial")
    wait_until(lambda: not cluster.jobs(), 150, "the end of the queue")
    assert "Restarts=0" not in restarts
    assert len(store.ids()) == 12
    assert same_numbers(store, reference)
    assert not saved(store)
    assert resumed(tmp_path) >= 2  # the preempted and the signalled, at least

    when = {id: (store.path(id) / "record.json").stat().st_mtime_ns for id in store.ids()}
    assert "12 done" in sweep(*TWELVE, *ON_SLURM)
    assert not cluster.jobs()
    wider = sweep("model=ln,lg", NAMES.replace("camera", "camera,cell"), "seed=0,1", *SMALL, *ON_SLURM)
    assert "submitted 4 tasks in 2 jobs" in wider
    shown = json.loads(sweep.command("status", "--format", "json").stdout)
    assert sum(task["state"] in IN_FLIGHT for task in shown) == 4
    assert sweep.command("cancel").returncode == 0
    wait_until(lambda: not cluster.jobs(), 30, "cancelled jobs")
    assert when == {id: (store.path(id) / "record.json").stat().st_mtime_ns for id in when}


def test_what_slurm_refuses_is_told_before_anything_runs(sweep):
    done = sweep.command("sweep", "model=ln", *SMALL, "launcher=slurm", "launcher.partition=nowhere")
    assert done.returncode == 2
    assert "Invalid partition" in done.stderr and "launcher.*" in done.stderr
