"""Small sweeps in processes of their own, and what a serial run of the same gives."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eigexp.experiment.run import run
from eigexp.store import Store
from eigexp.store.maintenance import verify
from eigexp.sweep.plan import make_plan

ROOT = Path(__file__).parents[2]
SMALL = ["images.size=32", "logger=none", "callbacks.checkpoint.every_steps=3"]
SLOW = ["+callbacks.slow._target_=tests.sweep.slow.Slow"]


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", **more}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "eigexp", *words]


def eigexp(folder: Path, *words: str, environment: Mapping[str, str] = environment()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=170)


def run_script(folder: Path, script: str) -> str:
    """The standard output of a Python script, run in a folder."""
    (folder / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=170
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def serial(words: Sequence[str], store: Path) -> Store:
    """The results of the same tasks, computed one after the other in this process."""
    for task in make_plan([*words, f"store='{store}'"]):
        run(task.config, only=task.ids)
    return Store(store)


def same_numbers(store: Store, expected: Store) -> bool:
    """All results of `expected` are in `store`, whole and with the same bits."""
    found = verify(store)
    assert found == [], found
    return all(same(store, expected, id) for id in expected.ids())


def same(store: Store, expected: Store, id: str) -> bool:
    found: Mapping[str, Any] = store.read(id).arrays
    return all(np.array_equal(found[name], value) for name, value in expected.read(id).arrays.items())
