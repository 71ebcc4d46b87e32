"""What a step costs beside the solver's own work, counted in calls: a clock would measure the machine's other work too.

`scripts/overhead.py` gives the microseconds.
"""

import sys

import torch

from eigexp.training import loggers
from eigexp.training.callbacks import Checkpoint, Convergence, EigenvalueCurves, PreemptionGuard, SolverProgress
from scripts.overhead import Power, fit

SHORT, LONG = 100, 300
CALLS = 1700  # a step, of Python functions and of compiled ones; 1515 with Lightning 2.6.6 and Python 3.11


def calls(folder, steps):
    counted = 0

    def count(frame, event, argument):
        nonlocal counted
        counted += event in ("call", "c_call")

    callbacks = [Convergence(), EigenvalueCurves(), PreemptionGuard(), SolverProgress("bar"), Checkpoint(folder / "ckpt")]
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        fit(Power(max_steps=steps), folder, callbacks, [loggers.csv(folder / "csv")])
    finally:
        sys.setprofile(before)
    return counted


def test_a_step_with_everything_on_makes_few_calls(tmp_path):
    torch.manual_seed(0)
    calls(tmp_path / "first", SHORT)  # what is imported or cached once
    short, long = calls(tmp_path / "short", SHORT), calls(tmp_path / "long", LONG)
    each = (long - short) / (LONG - SHORT)
    print(f"{each:.0f} calls a step")
    assert each <= CALLS
