"""The sweep in Python that README shows, run exactly as it is printed."""

import subprocess
import sys

from eigexp.store import Store
from tests.docs.documented import blocks
from tests.sweep.sweeps import environment, same_numbers, serial


def test_the_sweep_of_the_readme(tmp_path):
    script = next(text for text in blocks("python") if "Sweep(" in text)
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False, timeout=170
    )
    assert done.returncode == 0, done.stderr
    store = Store(tmp_path / "outputs/results")
    assert len(store.ids()) == 4
    assert all(store.read(id).figures for id in store.ids())
    assert same_numbers(store, serial(["model=ln,lg", "images.size=64", "solver.k=1,5", "logger=none"], tmp_path / "serial"))
