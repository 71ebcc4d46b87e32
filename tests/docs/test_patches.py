"""The example of each kind in docs/extend.md: it touches the files that the table names, and what it adds works and keeps the rules."""

import json
import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.docs.documented import ROOT, arguments, patches, replaced
from tests.warm import commands as warm

SMALL = {
    "run": ["images.size=24", "logger=csv", "figure.draw=false", "callbacks.progress.mode=quiet"],
    "sweep": ["images.size=24", "logger=none"],
}
PATCHES = {Path(lines[0].split()[-1]).name: lines for lines in patches()}
_ROW = re.compile(r"^\| \[(?P<kind>[\w ]+)\]\(#[\w-]+\) \|[^|]+\|(?P<files>[^|]+)\|(?P<row>[^|]*)\| `(?P<patch>[\w.]+)` \|$", re.MULTILINE)
TABLE = {row["patch"]: row for row in _ROW.finditer((ROOT / "docs" / "extend.md").read_text(encoding="utf-8"))}
_ADDED = re.compile(r"^\+\+\+ b/(.+)$", re.MULTILINE)
# One process that imports what others have written, which takes longer than all the rest, and a fork of it for each of these.
_FORKS = """
import contextlib, importlib, json, os, sys
given = json.load(sys.stdin)
for name in [name for name in sys.modules if name.partition(".")[0] in given["own"]]:  # those of the repository
    del sys.modules[name]
for name in given["imported"]:
    with contextlib.suppress(Exception):
        importlib.import_module(name)

def commands():
    from eigexp.cli import main
    from eigexp.store import Store
    for arguments in given["commands"]:
        code = main([Store("outputs/results").ids()[0] if argument == "3f2a9c" else argument for argument in arguments])
        assert code == 0, (arguments, code)

def tests():
    passed = check("tests/config/test_compose.py", *dict.fromkeys(where for where, _ in given["tests"]), "-k", given["chosen"])
    for where, words in given["tests"]:
        assert any(name.startswith(where) and all(word in name for word in words.split(" and ")) for name in passed), words

def layers():
    os.unlink("eigexp/conf")  # as in the repository, whose layers are checked
    check("tests/test_architecture.py")

def check(*arguments):
    import pytest
    class Passed(list):
        def pytest_runtest_logreport(self, report):
            self.extend([report.nodeid] if report.when == "call" and report.passed else [])
    passed = Passed()
    options = ["-n", "0", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    assert pytest.main([*options, *arguments], plugins=[passed]) == 0
    return passed

def reference():
    sys.path.insert(0, "docs")
    from tests.docs.test_site import undocumented
    assert not undocumented(), undocumented()

for work in commands, tests, reference, layers:
    child = os.fork()
    if not child:
        work()
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0, work
"""
_OWN = ("eigexp", "tests", "scripts", "docs", "conftest", "__main__", "_pytest", "pytest")


@pytest.fixture
def copy(tmp_path):
    """A copy of the sources, with conf/ where an installation has it."""
    for folder in ("eigexp", "conf", "tests", "docs", "examples", "scripts"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "*.png"))
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "eigexp" / "conf").symlink_to("../conf")
    return tmp_path


def _around(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, env=_around(folder), capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def test_each_kind_has_an_example():
    assert len(TABLE) == 10 and TABLE.keys() == PATCHES.keys()
    assert {path.name for path in (ROOT / "examples").glob("*.patch")} == TABLE.keys()


@pytest.mark.parametrize("name", TABLE)
def test_a_patch_touches_what_its_row_names(name):
    row = TABLE[name]
    named = [pattern.replace("NAME", "*") for pattern in re.findall(r"`([^`]+)`", row["files"] + row["row"])]
    touched = _ADDED.findall((ROOT / "examples" / name).read_text(encoding="utf-8"))
    assert all(any(fnmatch(path, pattern) for pattern in named) for path in touched)
    assert all(any(fnmatch(path, pattern) for path in touched) for pattern in named)
    run(ROOT, *arguments(PATCHES[name][0].replace("git apply", "git apply --check")))


@pytest.mark.slow(25)
def test_what_the_patches_add_works_and_keeps_the_rules(copy):
    commands, tests = [], []
    for apply, *tries in PATCHES.values():
        run(copy, *arguments(apply))
        for program, *given in map(arguments, tries):
            if program == "eigexp":
                commands.append(replaced(given, SMALL.get(given[0], [])))
            else:
                assert program == "python" and given[:2] == ["-m", "pytest"] and given[3] == "-k"
                tests.append([given[2], given[4]])
    run(copy, sys.executable, "-m", "ruff", "check", "--no-cache", "eigexp", "tests")
    run(copy, sys.executable, "-m", "ruff", "format", "--no-cache", "--check", "eigexp", "tests")
    given = {
        "own": _OWN,
        "imported": [name for name in sys.modules if name.partition(".")[0] not in _OWN],
        "commands": commands,
        "tests": tests,
        "chosen": " or ".join(["test_compose", *(f"({words})" for _, words in tests)]),
    }
    (copy / "forks.py").write_text(_FORKS)
    (copy / "given.json").write_text(json.dumps(given))
    with (copy / "given.json").open() as file, (copy / "said").open("w+") as said:
        code = warm.start("forks.py", cwd=copy, env=_around(copy), stdin=file, stdout=said, stderr=said).wait(600)
    assert code == 0, (copy / "said").read_text()
