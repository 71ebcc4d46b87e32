"""Small sweeps in processes of their own, and what a serial run of the same gives."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from eigexp.experiment.run import run
from eigexp.store import Store
from eigexp.store.maintenance import verify
from eigexp.sweep.plan import make_plan
from eigexp.sweep.process import SIGNALS
from tests.warm import commands as warm
from tests.warm.process import Process

ROOT = Path(__file__).parents[2]
DRAWN = ["images.size=32", "logger=none", "callbacks.checkpoint.every_steps=3"]
SMALL = [*DRAWN, "figure.draw=false"]  # a figure takes most of the time of a small task
SLOW = ["+callbacks.slow._target_=tests.sweep.slow.Slow"]


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", **more}


def eigexp(folder: Path, *words: str, environment: Mapping[str, str] = environment()) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, to its end."""
    return warm.run("-m", "eigexp", *words, cwd=folder, env=environment)


def begin(folder: Path, *words: str, quiet: bool = True, alone: bool = False) -> Process:
    """The command in a process of its own, and at the head of a group of its own if `alone`."""
    out = subprocess.DEVNULL if quiet else None
    return warm.start("-m", "eigexp", *words, cwd=folder, env=environment(), stdout=out, stderr=out, start_new_session=alone)


def run_script(folder: Path, script: str) -> str:
    """The standard output of a Python script, run in a folder."""
    (folder / "script.py").write_text(script)
    done = warm.run("script.py", cwd=folder, env=environment())
    assert done.returncode == 0, done.stderr
    return done.stdout


def serial(words: Sequence[str], store: Path) -> Store:
    """The results of the same tasks, computed one after the other in this process."""
    for task in make_plan([*words, f"store='{store}'"]):
        run(task.config, only=task.ids)
    return Store(store)


@contextmanager
def own_handlers() -> Iterator[None]:
    """Restore the handlers of signals after the block, in which a worker sets its own."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def same_numbers(store: Store, expected: Store) -> bool:
    """All results of `expected` are in `store`, whole and with the same bits."""
    found = verify(store)
    assert found == [], found
    return all(same(store, expected, id) for id in expected.ids())


def same(store: Store, expected: Store, id: str) -> bool:
    found: Mapping[str, Any] = store.read(id).arrays
    return all(np.array_equal(found[name], value) for name, value in expected.read(id).arrays.items())
