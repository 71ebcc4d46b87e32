"""The examples run as plain scripts, and leave figures."""

from pathlib import Path

import pytest

from tests.sweep.sweeps import environment
from tests.warm import commands as warm

ROOT = Path(__file__).parents[1]


@pytest.mark.slow(5)
def test_from_plenoptic(tmp_path):
    pytest.importorskip("efficientnet_lite_pytorch")
    script = ROOT / "examples" / "from_plenoptic.py"
    run = warm.run(str(script), cwd=tmp_path, env=environment(EIGEXP_EXAMPLES=str(tmp_path), PYTHONWARNINGS="error::UserWarning"))
    assert run.returncode == 0, run.stderr
    figures = {path.name for path in tmp_path.glob("*.png")}
    assert figures == {"linear.png", "onoff.png", "batch.png", *(f"efficientnet_blocks.{i}.png" for i in (0, 2, 5))}
    assert min(path.stat().st_size for path in tmp_path.glob("*.png")) > 20_000
    assert "power : budget" in run.stdout and run.stdout.count("converged") >= 4


def test_the_cells_are_those_of_a_notebook():
    text = (ROOT / "examples" / "from_plenoptic.py").read_text()
    assert text.startswith("# %% [markdown]\n# # ") and text.count("\n# %%\n") >= 6
