"""What a command must not import: each starts with what it needs, and no command for a quick look waits for torch."""

import json
import subprocess
import sys

import pytest

from eigexp.store import Store
from scripts import startup
from tests.sweep.sweeps import environment

NEVER = {"torchmetrics.functional", "transformers", "tensorboard", "mlflow", "timm", "plenoptic", "skimage", "pandas", "IPython", "pytest"}
WATCHED = {"torch", "lightning", "torchvision", "sympy", "scipy", "matplotlib", "wandb", "hydra", "jinja2", "numpy", *NEVER}
RUN = ["model=ln", "images.size=16", "logger=csv", "callbacks.progress.mode=quiet"]
COMMON = ["trainer.accelerator=cpu", "callbacks.progress.mode=quiet"]  # settings other than the shipped ones
PLAN = {"torch", "hydra", "scipy", "numpy"}
# A command in a store that has the result of the first one, and which of the watched packages it may import.
MAY: dict[str, tuple[list[str], set[str]]] = {
    "run": (["run", *RUN], {*PLAN, "lightning", "sympy", "matplotlib"}),  # Lightning imports torch's compiler, and that sympy
    "run, stored": (["run", *RUN], PLAN),
    "run --cfg": (["run", *RUN, "--cfg", "job"], {"hydra", "numpy"}),
    "sweep --dry-run": (
        ["sweep", "model=ln,lg", "images.size=16", *COMMON, "--dry-run"],
        {*PLAN, "torchvision", "sympy"},  # for a trial, which makes products
    ),
    "models NAME": (["models", "ln", "images.size=16"], {*PLAN, "torchvision", "sympy"}),  # torchvision traces networks
    "doctor NAME": (["doctor", "model=ln", "images.size=16"], {*PLAN, "sympy"}),
    "help": (["--help"], set()),
    "help of a command": (["sweep", "--help"], set()),
    "models": (["models"], set()),
    "results": (["results"], {"numpy"}),
    "results as CSV": (["results", "--format", "csv"], {"numpy"}),
    "status": (["status"], {"numpy"}),
    "store": (["store", "verify"], {"numpy"}),
    "plot": (["plot", "compare", "--output", "compare.svg"], {"numpy", "matplotlib"}),
    "report": (["report"], {"numpy", "matplotlib", "jinja2"}),
}
# Commands that take seconds, and what a person is shown meanwhile.
SLOW = [["run"], ["run", "-m", "model=ln"], ["sweep"], ["models", "ln"], ["doctor"], ["cross", "--models", "ln"]]
TERMINAL = """
import json, os, sys
words, watched = json.loads(sys.argv[1])
class Terminal:
    isatty = lambda self: True
    flush = lambda self: None
    def write(self, text):
        os.write(1, json.dumps([text, [module for module in watched if module in sys.modules]]).encode())
        os._exit(0)
sys.stderr = Terminal()
from eigexp.cli import main
main(words)
"""
# Commands run in forks, of a process that has imported no more than what the command may import in any case: each package once for all.
FORKS = """
import json, os, sys, traceback
from importlib import import_module
stages, watched = json.load(sys.stdin)

def in_a_fork(work, *arguments):
    child = os.fork()
    if not child:
        work(*arguments)
        os._exit(0)
    os.waitpid(child, 0)

def stage(first, *later):
    packages, commands = first
    for package in packages:
        import_module(package)
    if later:
        in_a_fork(stage, *later)
    for name, words in commands.items():
        reading, writing = os.pipe()
        in_a_fork(command, words, writing)
        os.close(writing)
        print(json.dumps([name, *json.loads(os.read(reading, 100_000))]), flush=True)

def command(words, writing):
    before = set(sys.modules)
    from eigexp.cli import main
    os.dup2(2, 1)
    try:
        code = main(words)
    except SystemExit as ended:
        code = ended.code or 0
    except Exception:
        traceback.print_exc()
        code = None
    os.write(writing, json.dumps([code, [module for module in watched if module in set(sys.modules) - before]]).encode())

stage(*stages)
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Exit code and watched packages of each command."""
    stages = [
        ([], {name: words for name, (words, may) in MAY.items() if not may >= PLAN}),
        (sorted(PLAN), {name: words for name, (words, may) in MAY.items() if may >= PLAN and name != "run"}),
        ([], {"run": MAY["run"][0]}),  # runs first
    ]
    asked = json.dumps([stages, sorted(WATCHED)])
    folder = tmp_path_factory.mktemp("imports")
    done = subprocess.run([sys.executable, "-c", FORKS], cwd=folder, env=environment(), input=asked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(Store(folder / "outputs/results").ids()) == 1  # the first computes, and nothing after it
    return {name: (code, set(modules)) for name, code, modules in map(json.loads, done.stdout.splitlines())}


@pytest.mark.slow(1)
@pytest.mark.parametrize("name", MAY)
def test_a_command_imports_what_it_needs(imported, name):
    code, modules = imported[name]
    assert code == 0
    assert modules <= MAY[name][1]


@pytest.mark.parametrize("words", SLOW, ids=" ".join)
def test_a_terminal_shows_a_line_before_anything_is_imported_that_takes_time(tmp_path, words):
    asked = json.dumps([words, sorted({*WATCHED, "omegaconf", "pydantic", "rich"})])
    done = subprocess.run([sys.executable, "-c", TERMINAL, asked], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert json.loads(done.stdout) == ["loading PyTorch ...", []], done.stderr


def test_the_script_that_measures_starts_prints_a_row_for_each_command(monkeypatch, capsys):
    monkeypatch.setattr(startup, "COMMANDS", {"nothing": ["-c", "pass"], "a loop": ["-c", "sum(range(3_000_000))"]})
    monkeypatch.setattr(sys, "argv", ["startup.py", "--repeats", "1"])
    startup.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == ["`nothing`", "`a loop`"]
    assert rows[0][2] == "1.00" and float(rows[1][1]) > float(rows[0][1])
