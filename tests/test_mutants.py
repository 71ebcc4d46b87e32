"""Careless changes are told from harmless ones, and the list of them fits the files as they are."""

import subprocess
import sys

import pytest

from scripts.mutants.mutants import LIST, Mutant, read
from tests.docs.documented import ROOT

PYTHON = "import sys; from pathlib import Path; from scripts.mutants.__main__ import main; sys.exit(main(Path(sys.argv.pop(1))))"
SLIPS = """
[[file]]
path = "eigexp/sums.py"
tests = ["tests/test_sums.py"]
slips = [
    { before = "a + b", after = "a - b" },
    { before = "while False", after = "while True" },
    { before = "abs(a)", after = "a", reason = "Nobody asks." },
]
"""


@pytest.fixture
def tree(tmp_path):
    """A package of two functions with one test, and a list of slips."""
    for folder in ("eigexp", "tests"):
        (tmp_path / folder).mkdir()
    (tmp_path / "eigexp/__init__.py").touch()
    body = "def add(a, b):\n    while False:\n        pass\n    return a + b\n\n\ndef size(a):\n    return abs(a)\n"
    (tmp_path / "eigexp/sums.py").write_text(body)
    (tmp_path / "tests/test_sums.py").write_text("from eigexp.sums import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n")
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    (tmp_path / "list.toml").write_text(SLIPS)
    return tmp_path


def run(tree, *options):
    words = [sys.executable, "-c", PYTHON, str(tree), "--list", str(tree / "list.toml"), "--limit", "2", "--jobs", "2", *options]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow(10)
def test_killed_and_surviving_slips_are_counted(tree):
    done = run(tree, "--record", str(tree / "outcomes"))
    assert done.returncode == 1  # a third of them survives
    lines = done.stdout.splitlines()
    assert "| sums.py | 3 | 2 | 1 |".replace(".py", "") in lines
    assert lines[-1] == "survived: eigexp/sums.py: abs(a)  ->  a. Nobody asks."
    assert sum(line.startswith("killed") for line in lines) == 2
    assert "a + b" in (tree / "eigexp/sums.py").read_text()
    again = run(tree, "--record", str(tree / "outcomes"))
    assert sorted(again.stdout.splitlines()) == sorted(line for line in lines if not line.startswith(("killed", "SURVIVED")))
    with (tree / "tests/test_sums.py").open("a") as file:
        file.write("\n\ndef test_size():\n    from eigexp.sums import size\n\n    assert size(-1) == 1\n")
    assert run(tree, "--record", str(tree / "outcomes")).returncode == 0  # another test: what was known holds no longer


@pytest.mark.slow(1)
def test_tests_that_fail_by_themselves_kill_nothing(tree):
    with (tree / "tests/test_sums.py").open("a") as file:
        file.write("    assert False\n")
    done = run(tree)
    assert done.returncode == 1
    assert "fail without any slip" in done.stdout


def test_a_snippet_that_is_gone_is_named(tree):
    (tree / "eigexp/sums.py").write_text("def add(a, b):\n    return a+b\n")
    done = run(tree)
    assert done.returncode == 1
    assert "eigexp/sums.py: a + b  ->  a - b: the snippet is found 0 times, not once" in done.stdout


@pytest.mark.parametrize(
    ("mutant", "fault"),
    [
        (Mutant("eigexp/sums.py", "a", "b", ("tests/test_sums.py",)), "found 8 times"),
        (Mutant("eigexp/sums.py", "a + b", "a + b", ("tests/test_sums.py",)), "nothing changes"),
        (Mutant("eigexp/sums.py", "a + b", "a", ("tests/test_gone.py::test_add",)), "there is no tests/test_gone.py::test_add"),
    ],
)
def test_a_row_that_says_nothing_is_refused(tree, mutant, fault):
    assert fault in mutant.fault(tree)


def test_the_list_fits_the_files():
    mutants = read(LIST)
    assert [fault for mutant in mutants if (fault := mutant.fault())] == []
    assert len({(m.file, m.before, m.after) for m in mutants}) == len(mutants)
