"""The sweep in Python that README shows, run exactly as it is printed."""

import pytest

from eigexp.store import Store
from tests.docs.documented import blocks
from tests.sweep.sweeps import run_script, same_numbers, serial


@pytest.mark.slow
def test_the_sweep_of_the_readme(tmp_path):
    script = next(text for text in blocks("python") if "Sweep(" in text)
    run_script(tmp_path, script)
    store = Store(tmp_path / "outputs/results")
    assert len(store.ids()) == 4
    assert all(store.read(id).figures for id in store.ids())
    assert same_numbers(store, serial(["model=ln,lg", "images.size=64", "solver.k=1,5", "logger=none"], tmp_path / "serial"))
