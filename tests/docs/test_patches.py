"""The model, the solver and the noise that docs/extend.md adds: each patch applied to a copy of the tree, and what it adds tried there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.documented import ROOT, arguments, patches, replaced

SMALL = ["images.size=24", "logger=none"]
PATCHES = patches()


@pytest.fixture
def copy(tmp_path):
    """The sources, with conf/ where an installation has it."""
    for folder in ("eigexp", "conf", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "eigexp" / "conf").symlink_to("../conf")
    return tmp_path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    around = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=around, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_there_is_a_patch_of_each_kind():
    assert [lines[0].rpartition("new_")[2] for lines in PATCHES] == ["model.patch", "solver.patch", "noise.patch"]


@pytest.mark.parametrize("lines", PATCHES, ids=lambda lines: lines[0].rpartition("/")[2])
def test_a_patch_applies_and_what_it_adds_works(lines, copy):
    run(copy, *arguments(lines[0]))
    for program, *given in map(arguments, lines[1:]):
        if program == "eigexp":
            done = run(copy, sys.executable, "-m", "eigexp", *replaced(given, SMALL))
            assert (Path(done.stdout.splitlines()[-1]) / "record.json").exists()
        else:
            assert program == "python"
            done = run(copy, sys.executable, *given, "-p", "no:cacheprovider")
            assert "[100%]" in done.stdout
