"""A job of two tasks that a test kills: `python -m tests.training.killable FOLDER`; each step takes a byte of its standard input."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from tests.training.toys import Power, module, numbers, task, trainer  # isort: skip
from eigexp.training import TaskData
from eigexp.training.callbacks import Checkpoint, EigenvalueCurves, PreemptionGuard, ResultWriter


class Slow(Power):
    def step(self, A: Any, state: Any) -> Any:
        os.read(0, 1)  # at the end of what it may do, it waits
        time.sleep(0.004)
        return super().step(A, state)


def job(folder: Path) -> None:
    """Does what is left to do; exits with 128 + signum if it was asked to stop."""
    torch.set_num_threads(1)
    work, guard = module(Slow()), PreemptionGuard()

    def write(done: Any, pairs: Any, curves: Any, seconds: float) -> None:
        torch.save({"state": numbers(work), "curves": [len(rows) for rows in curves]}, folder / "unfinished")
        (folder / "unfinished").rename(folder / f"{done.ids[0]}.pt")

    left = [t for t in (task("a"), task("b", "c")) if not (folder / f"{t.ids[0]}.pt").exists()]
    files = [path for t in left if (path := folder / f"{t.ids[0]}.ckpt").exists()]
    host = trainer(Checkpoint(folder, every_steps=1), EigenvalueCurves(), ResultWriter(write), guard)
    if left:
        host.fit(work, TaskData(left), ckpt_path=files[0] if files else None)
    sys.exit(128 + guard.signum if guard.signum else 0)


if __name__ == "__main__":
    job(Path(sys.argv[1]))
