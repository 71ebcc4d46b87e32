"""A sweep in a forked process; a module of its own, so that the server that forks has it loaded already."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import eigexp.cli.sweep_progress
import eigexp.experiment.run  # noqa: F401
from eigexp.cli import main
from eigexp.sweep import local, plan  # noqa: F401


def sweep(folder: Path, words: Sequence[str]) -> None:
    """Leads a process group of its own, silently."""
    os.setpgrp()
    os.chdir(folder)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    sys.exit(main(["sweep", *words]))
