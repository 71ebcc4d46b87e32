"""The tools that the project is written with are content, and no tracked file names somebody's machine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MACHINE = re.compile(
    r"(?<![\w.~-])/(?:home|root|work|Users|farm)/\w"  # a folder of one person or one machine
    r"|(?:index|extra)[-_]url|find[-_]links|\"resolved\": *\"http"  # where packages came from on one machine
    r"|pypi[.]org|python[h]osted|registry[.]npmjs|anaconda[.]org",
)


def check(*command: str) -> None:
    run = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def machine_names(text: str) -> list[str]:
    return [f"line {i}: {line.strip()[:120]}" for i, line in enumerate(text.splitlines(), 1) if MACHINE.search(line)]


def test_ruff_finds_nothing():
    check("ruff", "check", "--no-cache", ".")


def test_code_is_formatted():
    check("ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.slow(30)
def test_types_check():
    check("basedpyright", "--level", "error", "--pythonpath", sys.executable)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="only a git checkout knows which files are tracked")
def test_no_tracked_file_names_a_machine():
    found = {str(path.relative_to(ROOT)): machine_names(path.read_text(errors="ignore")) for path in tracked_files()}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "text", ["cd /" + "home/me/data", "see https://pypi" + ".org/simple", "--extra-index" + "-url=x", "'/" + "Users/me'"]
)
def test_names_of_machines_are_recognised(text):
    assert machine_names(text)


@pytest.mark.parametrize("text", ["images.path=photos/", "outputs/results", "PYTHON=/path/to/python", "site/home/page", "/tmp/x"])
def test_other_paths_are_let_be(text):
    assert not machine_names(text)
