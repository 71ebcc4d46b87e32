"""Tests run in forked processes, each with a tree of its own; packages are imported once."""

import importlib
import math
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.mutants.mutants import ROOT, Mutant

PARTS = ("eigexp", "tests", "conf", "scripts", "docs", "examples")
OWN = ("eigexp", "tests", "scripts", "conftest", "__main__", "_pytest", "pytest")  # never imported before the fork
FAILED = 1
_WALL_PER_CPU_SECOND = 20  # a test that waits for ever uses no processor time; on a busy machine the others get theirs late


@dataclass(frozen=True)
class Outcome:
    """How the tests of one slip ended.

    Attributes:
        mutant: the slip.
        seconds: of processor time that its tests took.
        by: the test that noticed, in pytest's words, or "the time limit"; empty if none did.
    """

    mutant: Mutant
    seconds: float
    by: str

    @property
    def killed(self) -> bool:
        """A test failed, could not be collected, or did not end."""
        return bool(self.by)


@contextmanager
def copied_tree(root: Path = ROOT) -> Iterator[Path]:
    """Copy what tests need into a temporary folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder) / "tree"
        copy_tree(root, tree)
        yield tree


def copy_tree(source: Path, target: Path) -> None:
    """Copy the folders of PARTS and the files beside them; times are kept, so that compiled modules stay valid."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_dir() and path.name in PARTS:
            shutil.copytree(path, target / path.name, ignore=shutil.ignore_patterns("_build", "jupyter_execute"))
        elif path.is_file():
            shutil.copy2(path, target / path.name)


def run_tests(tree: Path, tests: Sequence[str], *more: str) -> int:
    """Return pytest's exit code in this process, for tests of a tree, with more options."""
    import pytest

    os.chdir(tree)
    sys.path.insert(0, str(tree))
    imported = "ignore::pytest.PytestAssertRewriteWarning"  # plugins are among the packages imported once
    return int(
        pytest.main(
            ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow", "-W", imported, f"--rootdir={tree}", *more, *tests]
        )
    )


def baseline(tree: Path, tests: Sequence[str], *, trusted: bool = False) -> tuple[int, str, list[str]]:
    """Return exit code, output and modules of packages that were imported, for the tests without any slip; only collected if trusted."""
    names = tree.parent / "modules"

    def work() -> int:
        code = run_tests(tree, tests, *(["--collect-only"] if trusted else []))
        names.write_text("\n".join(name for name in sys.modules if name.partition(".")[0] not in OWN))
        return code

    output = tree.parent / "baseline"
    _, status = os.waitpid(_fork(work, output), 0)
    return os.waitstatus_to_exitcode(status), output.read_text(), names.read_text().splitlines() if names.is_file() else []


def preload(names: Sequence[str]) -> None:
    """Import what every test process would import."""
    for name in names:
        with suppress(Exception):
            importlib.import_module(name)


def outcomes(tree: Path, mutants: Sequence[Mutant], jobs: int, limit: float) -> Iterator[Outcome]:
    """Yield the outcome of each change when it ends, `jobs` at a time, each stopped after `limit` seconds of processor time."""
    waiting, running = list(enumerate(mutants)), {}
    while waiting or running:
        while waiting and len(running) < jobs:
            i, mutant = waiting.pop(0)
            folder = tree.parent / str(i)
            running[_start(tree, folder, mutant, limit)] = (mutant, folder, time.monotonic())
        for pid, (mutant, folder, began) in list(running.items()):
            done, status, used = os.wait4(pid, os.WNOHANG)
            if not done and time.monotonic() - began < _WALL_PER_CPU_SECOND * limit:
                continue
            if not done:
                os.killpg(pid, signal.SIGKILL)
                _, status, used = os.wait4(pid, 0)
            by = "the time limit" if os.WIFSIGNALED(status) else _noticed((folder / "output").read_text())
            yield Outcome(mutant, used.ru_utime + used.ru_stime, by)
            shutil.rmtree(folder, ignore_errors=True)
            del running[pid]
        time.sleep(0.02)


def _noticed(output: str) -> str:
    lines = [line for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return lines[0].split()[1] if lines else ""


def _start(tree: Path, folder: Path, mutant: Mutant, limit: float) -> int:
    def work() -> int:
        seconds = math.ceil(limit)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        return run_tests(folder / "tree", mutant.tests)

    copy_tree(tree, folder / "tree")
    mutant.apply(folder / "tree")
    return _fork(work, folder / "output")


def _fork(work: Callable[[], int], output: Path) -> int:
    """Fork a process that does some work in its own session and exits with its result; its output goes to a file."""
    pid = os.fork()
    if pid:
        return pid
    code = FAILED
    try:
        os.setsid()
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return pid
