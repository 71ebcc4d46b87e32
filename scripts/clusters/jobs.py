"""Jobs on a throw-away Slurm or Grid Engine that are warned, deleted and requeued at random moments: each task done once, none lost.

The worker is a stand-in that starts as slowly as Python with torch, and saves at each step; the job's script, the scheduler and its
commands are real.

python -m scripts.clusters.jobs slurm --jobs 20
python -m scripts.clusters.jobs sge --jobs 60 --deletions 10 --restart
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from eigexp.config.compose import compose
from eigexp.errors import SchedulerError
from eigexp.store import Store
from eigexp.sweep.job_script import TOO_EARLY, end_of_job
from eigexp.sweep.launcher import make_launcher
from tests.grid_engine.cluster import GridEngine
from tests.slurm.cluster import Cluster

STEPS = 8
WORKER = """#!{python} -ISu
import os, signal, sys, time
time.sleep({start})
stopped = []
for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, frame: stopped.append(number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, range(1, 32))
if stopped:
    sys.exit({too_early})
for id in sys.argv[7:]:
    done = "{root}/done"
    if os.path.exists(done) and id in open(done).read().split():
        continue  # as the worker finds a stored result
    checkpoint = "{root}/" + id
    step = int(open(checkpoint).read()) if os.path.exists(checkpoint) else 0
    while step < {steps}:
        time.sleep(0.25)
        step += 1
        open(checkpoint + ".tmp", "w").write(str(step))
        os.replace(checkpoint + ".tmp", checkpoint)
        if stopped:
            sys.exit(128 + stopped[0])
    open(done, "a").write(id + "\\n")
"""


def main() -> int:
    """Run it and print what was found. Return 0 if every task was done once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scheduler", choices=("slurm", "sge"))
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--deletions", type=int, default=0, help="jobs that are cancelled, and submitted again")
    parser.add_argument("--restart", action="store_true", help="kill and restart the scheduler once")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="eigexp-jobs-"))
    (root / "c").mkdir()
    cluster: Any = Cluster(root / "c") if options.scheduler == "slurm" else GridEngine(root / "c", slots=4)
    began = time.monotonic()
    try:
        cluster.start()
        found = _Run(cluster, root, options).all()
    finally:
        cluster.stop()
        shutil.rmtree(root, ignore_errors=True)
    print(json.dumps({"seconds": round(time.monotonic() - began), **found}))
    return int(found["done once"] != options.jobs or found["lost"] > 0)


class _Run:
    """One submission and what happens to it."""

    def __init__(self, cluster: Any, root: Path, options: argparse.Namespace):
        self.cluster, self.root, self.options, self.random = cluster, root, options, random.Random(0)
        self.store = Store(root / "store")
        worker = root / "worker"
        text = WORKER.format(python=sys.executable, start=2, steps=STEPS, too_early=TOO_EARLY, root=root)
        worker.write_text(text)
        worker.chmod(0o755)
        words = [f"launcher={options.scheduler}", f"launcher.python='{worker}'", "launcher.time=20"]
        self.launcher: Any = make_launcher(dict(compose(words).launcher))

    def all(self) -> dict[str, int]:
        os.environ.update(self.cluster.environment)
        ids = {f"t{number}" for number in range(self.options.jobs)}
        submitted = dict(zip(self._submit(sorted(ids)), sorted(ids), strict=True))
        counts = {"warned": 0, "deleted": 0, "ended unseen": 0}
        deadline = time.monotonic() + 900
        warned: set[str] = set()
        while time.monotonic() < deadline:
            living = self.launcher.scheduler.jobs()
            self._disturb(living, warned, counts)
            if not living:
                left = sorted(ids - set(self._done()))
                counts["ended unseen"] += sum("exit code" not in end_of_job(self.store, j) for j, id in submitted.items() if id in left)
                if not left:
                    break
                submitted = dict(zip(self._submit(left), left, strict=True))  # as the next sweep would
            time.sleep(self.random.uniform(0.1, 1.0))
        done = self._done()
        return {**counts, "done once": sum(done.count(id) == 1 for id in ids), "lost": len(ids - set(done))}

    def _submit(self, ids: list[str]) -> list[str]:
        script = self.launcher.write_script([[id] for id in ids], self.store)
        return self.launcher.scheduler.send(str(script), len(ids), self.launcher._first)

    def _disturb(self, living: dict[str, Any], warned: set[str], counts: dict[str, int]) -> None:
        running = [job for job, found in living.items() if found.state == "running" and job not in warned]
        if not running:
            return
        job = self.random.choice(running)
        time.sleep(self.random.uniform(0, 1.5))
        if counts["deleted"] < self.options.deletions and self.random.random() < 0.4:
            warned.add(job)
            counts["deleted"] += 1
            with suppress(SchedulerError):  # it has ended meanwhile
                self.launcher.scheduler.stop([job])
        elif self.options.scheduler == "slurm":
            warned.add(job)
            counts["warned"] += 1
            self.cluster.tell("scancel", "--signal=USR2", job)
        elif self.random.random() < 0.3:
            warned.add(job)
            counts["warned"] += 1
            subprocess.run(["qmod", "-rj", job], check=False, capture_output=True, timeout=60)
        if self.options.restart and counts["warned"] + counts["deleted"] == 5:
            self.options.restart = False
            (self.cluster.restart_controller if self.options.scheduler == "slurm" else self.cluster.restart_master)()

    def _done(self) -> list[str]:
        path = self.root / "done"
        return path.read_text().split() if path.exists() else []


if __name__ == "__main__":
    raise SystemExit(main())
