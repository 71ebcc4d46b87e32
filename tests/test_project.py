"""The template of a project: copied, made a repository, installed, run, swept and sent to a scheduler, as its README says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.warm import commands as warm

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "examples" / "project"
COMMANDS = re.findall(r"^((?:git|pip|eigexp) .+)$", (TEMPLATE / "README.md").read_text().split("```")[1], re.MULTILINE)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy, with its package installed into a folder of the test."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(TEMPLATE, folder / "lab", ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "lab"


def environment(project):
    who = {f"GIT_{role}_{key}": "a" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    path = os.pathsep.join([str(project.parent / "site"), str(ROOT)])
    return {**os.environ, **who, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "GIT_CONFIG_GLOBAL": os.devnull}


@pytest.mark.slow(6)
def test_from_git_init_to_a_slurm_dry_run_in_five_commands(project):
    assert [command.split()[0] for command in COMMANDS] == ["git", "pip", "eigexp", "eigexp", "eigexp"]
    repository, install, run, sweep, dry_run = COMMANDS
    subprocess.run(repository, shell=True, cwd=project, env=environment(project), check=True, capture_output=True)
    assert install == "pip install -e ."
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    made = subprocess.run(
        [*pip, "--target", "../site", "."], cwd=project, env=environment(project), capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    for command in (run, sweep, dry_run):
        done = warm.run("-m", *command.split(), cwd=project, env=environment(project))
        assert done.returncode == 0, done.stderr
    records = [json.loads(path.read_text()) for path in project.glob("outputs/results/*/*/record.json")]
    assert {r["model"] for r in records} == {"retina"} and {r["image"]["name"] for r in records} == {"ripple", "stripes"}
    assert len(records) == 6 and all(r["verified"] for r in records)
    assert (project / "outputs/notebook.txt").read_text().count("steps") == 6
    assert "4 tasks: 2 done, 2 to do" in done.stdout  # the sweep has computed those of spread 1


@pytest.mark.slow(2)
def test_the_notebook_runs(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(str(project))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names: dict[str, object] = {}
    for cell in json.loads((project / "results.ipynb").read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert len(names["rows"]) == 6 and len(names["ed"].eigenvalues) == 2  # type: ignore[arg-type, attr-defined]
