"""Processor time of commands from their start, as ratios to `import torch`: python scripts/startup.py [--repeats N].

Python's files are compiled, as in an installed package: the first of the repeats compiles what is not.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

RUN = ["model=ln", "images.size=64", "logger=csv", "callbacks.progress.mode=quiet"]
# In this order in one folder: the second `run` finds the result of the first.
COMMANDS = {
    "import torch": ["-c", "import torch"],
    "import torch, lightning.pytorch": ["-c", "import torch, lightning.pytorch"],
    "import_lightning()": ["-c", "from eigexp.training.light_import import import_lightning as load; load()"],
    "eigexp run": ["-m", "eigexp", "run", *RUN],
    "eigexp run, stored": ["-m", "eigexp", "run", *RUN],
    "eigexp sweep --dry-run": ["-m", "eigexp", "sweep", "model=ln,lg", "images.size=64", "--dry-run"],
    "eigexp models ln": ["-m", "eigexp", "models", "ln"],
    "eigexp doctor model=ln": ["-m", "eigexp", "doctor", "model=ln", "images.size=16"],
    "eigexp plot compare": ["-m", "eigexp", "plot", "compare", "--output", "compare.svg"],
    "eigexp results": ["-m", "eigexp", "results"],
    "eigexp --help": ["-m", "eigexp", "--help"],
}


def main() -> None:
    """Measure each command and print a table."""
    parser = argparse.ArgumentParser("python scripts/startup.py", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="number of measurements; the least is shown")
    repeats = parser.parse_args().repeats
    rounds = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            rounds.append([processor_seconds(words, Path(folder)) for words in COMMANDS.values()])
    least = [min(times) for times in zip(*rounds, strict=True)]
    print("| command | processor seconds | times `import torch` |\n|---|---|---|")
    for name, seconds in zip(COMMANDS, least, strict=True):
        print(f"| `{name}` | {seconds:.2f} | {seconds / least[0]:.2f} |")


def processor_seconds(words: list[str], folder: Path) -> float:
    """Return the processor time of a Python process, all its threads and children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {"PYTHONPYCACHEPREFIX": f"{sys.prefix}/compiled", **environment, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *words], cwd=folder, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
