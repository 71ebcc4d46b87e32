"""What a sweep on a real Slurm is said to be: held, unknown where Slurm does not answer, ended without a result, cancelled."""

import json

from tests.slurm.cluster import wait_until
from tests.sweep.sweeps import SMALL, eigexp

TWO = ["model=ln", "images.names=[camera,coins]", *SMALL, "launcher=slurm", "launcher.sbatch={hold: true}", "launcher.python=/nonexistent"]


def states(folder, environment):
    shown = json.loads(eigexp(folder, "status", "--format", "json", environment=environment).stdout)
    return {(task["state"], task["detail"].partition(",")[0].partition(" 1")[0]) for task in shown}


def test_held_unseen_broken_and_cancelled_jobs_are_called_that(cluster, sweep, around, tmp_path):
    assert "submitted 2 tasks in 2 jobs" in sweep(*TWO)
    assert {state for state, _ in states(tmp_path, around)} == {"held"}

    away = {**around, "SLURM_CONF": cluster.away()}
    assert {state for state, _ in states(tmp_path, away)} == {"unknown"}
    refused = eigexp(tmp_path, "sweep", *TWO, environment=away)
    assert refused.returncode == 1 and "nothing was submitted" in refused.stderr
    assert eigexp(tmp_path, "cancel", environment=away).returncode == 1
    jobs = [job for job, state, _ in cluster.jobs()]
    assert len(jobs) == 2

    cluster.ask("scontrol", "release", jobs[0])
    wait_until(lambda: len(cluster.jobs()) == 1, 60, "the end of one")
    assert {state for state, _ in states(tmp_path, around)} == {"held", "ended without result"}
    shown = eigexp(tmp_path, "status", "--failed", environment=around).stdout
    assert "exit code 127" in shown and "1 ended without result" in shown
    assert eigexp(tmp_path, "cancel", environment=around).returncode == 0
    assert cluster.jobs() == []
    assert {state for state, _ in states(tmp_path, around)} == {"to do", "ended without result"}
    assert "submitted 2 tasks in 2 jobs" in sweep(*TWO)
    assert eigexp(tmp_path, "cancel", environment=around).returncode == 0
