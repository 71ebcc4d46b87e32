"""The layers of the design hold, and the light modules stay light."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.sweep.sweeps import run_script

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "lightning", "wandb", "hydra", "matplotlib", "pandas")


def loaded_by(statement: str) -> set[str]:
    """Which of the heavy packages a fresh interpreter has loaded after `statement`."""
    code = f"import sys\n{statement}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_imports_respect_the_layers():
    code = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    run = subprocess.run([sys.executable, "-c", code, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("module", ["eigexp", "eigexp.errors", "eigexp.cli.command", "eigexp.cli.doctor"])
def test_light_modules_load_nothing_heavy(module):
    assert loaded_by(f"import {module}") == set()


def test_the_report_loads_no_torch():
    assert not loaded_by("import eigexp.report") & {"torch", "lightning"}


@pytest.mark.slow(1)
def test_every_public_name_resolves(tmp_path):
    """Where nothing of the package has been imported."""
    code = "import sys\nfor name in [name for name in sys.modules if name.partition('.')[0] == 'eigexp']: del sys.modules[name]\n"
    code += "import eigexp\nfor name in eigexp.__all__: getattr(eigexp, name)\nprint(len(eigexp.__all__))"
    assert int(run_script(tmp_path, code)) > 5


def test_an_unknown_public_name_is_refused_with_the_known_ones():
    import eigexp

    with pytest.raises(AttributeError, match=r"'Eigendistorsion'.*Eigendistortion"):
        eigexp.Eigendistorsion  # noqa: B018
