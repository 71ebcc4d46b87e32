"""Real sweeps on a throw-away Slurm, two at once, under a time limit of one minute; at every look, status equals the queue and the store.

python -m scripts.clusters.sweeps --tasks 6
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eigexp.store import Store
from eigexp.sweep.scheduler import Scheduler, jobs_of
from eigexp.sweep.task_status import DONE, HELD, QUEUED, RUNNING, StatusReader, TaskStatus
from tests.slurm.cluster import Cluster
from tests.sweep.sweeps import SLOW, environment, same_numbers, serial

NAMES = ("camera", "coins", "coffee", "cell", "page", "clock", "text", "moon")
SMALL = ("images.size=32", "logger=none", "callbacks.checkpoint.every_steps=3")
ON_SLURM = ("launcher=slurm", "launcher.pack=2", "launcher.time=1", "launcher.warning=20", "launcher.start=35")
WHO = ("+callbacks.who._target_=tests.sweep.slow.Who", "+callbacks.who.path=who.txt")


@dataclass(frozen=True)
class Look:
    """What the queue and the store held just before and just after a status was read."""

    queues: tuple[set[str], set[str]]
    stored: tuple[set[str], set[str]]

    def wrong(self, task: TaskStatus) -> str:
        """Return what the status says that was true neither before nor after; empty if nothing is."""
        jobs = {job.id for job in jobs_of(task.job)}
        always, ever = jobs & self.queues[0] & self.queues[1], jobs & (self.queues[0] | self.queues[1])
        if (task.id in self.stored[0] and task.state != DONE) or (task.id not in self.stored[1] and task.state == DONE):
            return f"{task.id} is called {task.state}, and the store says otherwise"
        if task.state in (RUNNING, QUEUED, HELD) and not ever:
            return f"{task.id} is called {task.state} ({task.detail}), and no job of it is in the queue"
        if task.state not in (DONE, RUNNING, QUEUED, HELD) and always:
            return f"{task.id} is called {task.state}, and its job {always} is in the queue"
        return ""


class Watch:
    """Looks again and again until no job is left.

    Args:
        cluster: that runs them.
        store: of the tasks.
    """

    def __init__(self, cluster: Cluster, store: Store):
        self.cluster, self.store, self.counts, self.wrong = cluster, store, Counter[str](), []
        self.restarted: set[str] = set()

    def until_the_queue_is_empty(self) -> None:
        while self._look():
            time.sleep(0.5)

    def _look(self) -> bool:
        before, stored = self._queue(), set(self.store.ids())
        tasks = StatusReader(self.store).all()
        look = Look((before, self._queue()), (stored, set(self.store.ids())))
        self.counts["looks"] += 1
        self.counts.update(f"seen {task.state}" for task in tasks)
        self.wrong += [problem for task in tasks if (problem := look.wrong(task))]
        for job in before:
            if "Restarts=0" not in self.cluster.ask("scontrol", "show", "job", job):
                self.restarted.add(job)
        return bool(before or look.queues[1])

    def _queue(self) -> set[str]:
        return set(Scheduler.load(self.store, "slurm").jobs())


def main() -> int:
    """Run it and print what was found. Return 0 if all holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=6, help=f"at most {len(NAMES)}")
    parser.add_argument("--step", type=float, default=1.0, help="seconds that each step of a task waits, so that a job meets its limit")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="eigexp-sweeps-"))
    (root / "c").mkdir()
    cluster = Cluster(root / "c")
    began = time.monotonic()
    try:
        cluster.start()
        found = watched(cluster, root, options.tasks, options.step)
    finally:
        cluster.stop()
        shutil.rmtree(root, ignore_errors=True)
    print(json.dumps({"seconds": round(time.monotonic() - began), **found}, indent=1))
    return int(bool(found["wrong"] or found["lost"]) or not found["same bits as a serial run"])


def watched(cluster: Cluster, root: Path, tasks: int, step: float, python: str = sys.executable) -> dict[str, Any]:
    """Submit the same sweep twice at once, watch it to its end, and return what was found.

    Args:
        cluster: that runs.
        root: folder for the store.
        tasks: their number.
        step: seconds that each step of a task waits.
        python: interpreter of the sweeps, and of their jobs.
    """
    around = environment(PATH=cluster.environment["PATH"], SLURM_CONF=cluster.environment["SLURM_CONF"])
    os.environ.update({name: around[name] for name in ("PATH", "SLURM_CONF")})
    words = ["model=ln", f"images.names=[{','.join(NAMES[:tasks])}]", *SMALL]
    slow = [*words, *SLOW, f"+callbacks.slow.seconds={step}", *WHO, *ON_SLURM]
    _finished([_sweep(python, root, slow, around) for _ in range(2)])
    store = Store(root / "outputs/results")
    twice = [str(job) for task in StatusReader(store).all() for job in jobs_of(task.job)[1:]]
    watch = Watch(cluster, store)
    watch.until_the_queue_is_empty()
    within = len(store.ids())
    if within < tasks:  # on a busy machine a job may meet its limit three times before its work begins; then it ends, and says so
        _finished([_sweep(python, root, [*slow, "launcher.time=10"], around)])
        watch.until_the_queue_is_empty()
    return {
        "submitted twice": twice,
        "done within jobs of one minute": within,
        "jobs that went back into the queue": len(watch.restarted),
        "begun within their iteration": sum(int(line.split()[2]) > 0 for line in (root / "who.txt").read_text().splitlines()),
        **dict(watch.counts),
        "lost": tasks - len(store.ids()),
        "wrong": watch.wrong + [f"{job} was submitted a second time" for job in twice],
        "same bits as a serial run": same_numbers(store, serial(words, root / "serial")),
    }


def _sweep(python: str, root: Path, words: Sequence[str], around: Mapping[str, str]) -> "subprocess.Popen[str]":
    command = [python, "-P", "-m", "eigexp", "sweep", *words]
    return subprocess.Popen(command, cwd=root, env=dict(around), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def _finished(sweeps: Sequence["subprocess.Popen[str]"]) -> None:
    for process in sweeps:
        _, said = process.communicate()
        if process.returncode:
            raise RuntimeError(said)


if __name__ == "__main__":
    raise SystemExit(main())
