"""`python -m scripts.soak --minutes N`: sweeps with kills, full disks, clock changes and damaged files; then every bit is compared.

Workers are forked from this process, so that thousands of starts take seconds each and not tens. At the end each result is compared with
that of a serial run that nothing disturbed. Exit code 1 if one differs, is missing or does not verify.
"""

import argparse
import os
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eigexp.experiment.run import run
from eigexp.store import Store
from eigexp.store.maintenance import prune, verify
from eigexp.sweep.plan import Plan, make_plan
from eigexp.sweep.task_files import write_tasks
from eigexp.sweep.worker import work

SWEEP = (
    *("model=ln,lg", "images.names=[camera,coins,moon]", "images.size=16,20", "solver=krylov,power", "logger=csv"),
    *("callbacks.progress.mode=quiet", "callbacks.checkpoint.every_steps=2"),
)
FULL_DISK_BYTES = 6000  # of one file, during a spell without room
KILL, FULL, CLOCK, PLAIN = "kills", "full disks", "clock changes", "undisturbed runs"


class Soak:
    """A store that is disturbed, and what was done to it.

    Args:
        folder: for both stores.
        seed: of what happens.
        sweep: the overrides of its tasks.
    """

    def __init__(self, folder: Path, seed: int, sweep: Sequence[str] = SWEEP):
        self.rng, self.done = random.Random(seed), Counter[str]()
        os.chdir(folder)
        self.expected = self._serial(make_plan([*sweep, "store=expected"]))
        self.plan = make_plan([*sweep, "store=soaked"])
        self.store = self.plan.store

    @property
    def rounds(self) -> int:
        """How often a worker was started."""
        return sum(self.done[kind] for kind in (KILL, FULL, CLOCK, PLAIN))

    def round(self) -> None:
        """Start a worker on all tasks in some order, disturb it, and perhaps damage a file that it left."""
        if self.rng.random() < 0.3:  # as people do
            prune(self.store, yes=True)
        ids = [task.id for task in self.plan]
        self.rng.shuffle(ids)
        kind = self.rng.choice((KILL, KILL, KILL, FULL, CLOCK, PLAIN))
        pid = os.fork()
        if pid == 0:
            self._become_worker(ids, kind)
        if kind == KILL:
            time.sleep(self.rng.uniform(0, 2.0))
            os.kill(pid, self.rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
        os.waitpid(pid, 0)
        self.done[kind] += 1
        if self.rng.random() < 0.5:
            self._damage()
        if len(self.store.ids()) == len(self.plan.ids):
            self._compare()

    def finish(self) -> list[str]:
        """Let every task finish. Return what is wrong with the results."""
        prune(self.store, yes=True)
        self._serial(self.plan)
        wrong = [f"{finding.kind}: {finding.path}" for finding in verify(self.store) if finding.kind == "corrupt"]
        return wrong + self._compare(last=True)

    def _become_worker(self, ids: list[str], kind: str) -> None:
        with open("log.txt", "a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        if kind == FULL:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_DISK_BYTES, FULL_DISK_BYTES))
        if kind == CLOCK:
            offset, now = self.rng.uniform(-1e8, 1e8), time.time
            time.time = lambda: now() + offset
        try:
            write_tasks(self.store, [task for task in self.plan if not all(self.store.has(id) for id in task.ids)], {"launcher": "soak"})
            os._exit(work(self.store, ids, lambda config, ids, cache: run(config, only=ids, cache=cache), lambda report: None))
        finally:  # whatever happened, this process is a copy that must not go on
            os._exit(1)

    def _damage(self) -> None:
        """Change, cut or empty a file of the store."""
        files = sorted(
            path for path in self.store.root.rglob("*") if path.is_file() and path.name != "lock" and ".corrupt" not in path.parts
        )
        if not files:
            return
        path = self.rng.choice(files)
        content = bytearray(path.read_bytes())
        if content and self.rng.random() < 0.6:
            content[self.rng.randrange(len(content))] ^= 1 << self.rng.randrange(8)
        else:
            del content[self.rng.randrange(len(content) + 1) :]
        path.write_bytes(content)
        self.done["damaged files"] += 1

    def _serial(self, plan: Plan) -> Store:
        """Compute all tasks in this process, one after the other, and set aside what does not verify."""
        for task in plan:
            run(task.config, only=task.ids)
        return plan.store

    def _compare(self, last: bool = False) -> list[str]:
        """Compare the stored results; before the last time only those that verify, and begin with an empty store after it."""
        broken = {finding.path for finding in verify(self.store) if finding.kind == "corrupt"}
        wrong = [f"missing: {id}" for id in self.expected.ids() if not self.store.has(id)]
        for id in self.expected.ids():
            if self.store.has(id) and self.store.path(id) not in broken:
                here, there = self.store.read(id).arrays, self.expected.read(id).arrays
                wrong += [f"different: {id} {name}" for name in there if not np.array_equal(here[name], there[name], equal_nan=True)]
                self.done["results compared"] += 1
        if wrong and not last:
            raise SystemExit("\n".join(wrong))
        if not last:
            self.store.root.rename(self.store.root.with_name(f"soaked-{self.done['rounds of the whole sweep']}"))
            self.done["rounds of the whole sweep"] += 1
        return wrong


def soak(minutes: float, seed: int) -> int:
    """Disturb sweeps for so long. Print what was done, and what is wrong. Return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        soaked = Soak(Path(folder), seed)
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            soaked.round()
        wrong = soaked.finish()
        os.chdir("/")
    print(f"{minutes:g} minutes, seed {seed}: " + ", ".join(f"{count} {what}" for what, count in sorted(soaked.done.items())))
    print("\n".join(wrong) or "every result has the bits of the serial run")
    return int(bool(wrong))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    sys.exit(soak(given.minutes, given.seed))
