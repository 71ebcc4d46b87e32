"""How often the interval of D holds the truth, over simulated observers: python -m scripts.coverage [--runs 100]."""

import argparse
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from eigexp.psychophysics import fit_thresholds, separations, simulate
from eigexp.psychophysics.separation import Predicted, Separation
from eigexp.psychophysics.tasks import TASKS
from eigexp.psychophysics.trials import conditions

TRUE_D, SCALE = math.log(8.0), 1.7
LEVELS = {"two_interval": np.geomspace(0.25, 8, 8), "odd_one_out": np.geomspace(0.5, 8, 8)}  # in thresholds
OFF = 1.3  # the norms of the second distortion are off by this factor, as those of an experiment are
PREDICTED: Predicted = {("a", 0): {"truth": 0.1}, ("a", 1): {"truth": 0.1 * math.exp(TRUE_D)}}


def experiment(task: str, repeats: int) -> dict[str, Any]:
    """Return an experiment over the two distortions of one result."""
    found = []
    for index in (0, 1):
        norms = LEVELS[task] * SCALE * PREDICTED["a", index]["truth"] * (OFF if index else 1.0)
        levels = [{"alpha": x, "shown": x, "file": ""} for x in norms.tolist() for _ in (1, -1)]
        found.append({"condition": f"a_{index}", "id": "a", "model": "truth", "image": "i", "eigenindex": index, "levels": levels})
    return {"task": task, "repeats": repeats, "conditions": found}


def intervals(task: str, repeats: int, runs: int, bootstraps: int) -> Iterator[Separation]:
    """Yield D of one simulated observer after the other, with lapses of 2 %."""
    shown = experiment(task, repeats)
    for run in range(runs):
        trials = conditions(simulate(shown, PREDICTED, "truth", scale=SCALE, lapses=0.02, seed=run))
        yield separations(fit_thresholds(trials, bootstraps=bootstraps, seed=run))[0]


def main() -> None:
    """Print a line for each task and number of repeats."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="observers")
    parser.add_argument("--repeats", type=int, nargs="+", default=[20, 40], help="trials at each of 8 norms")
    parser.add_argument("--bootstraps", type=int, default=400, help="of each fit")
    options = parser.parse_args()
    for task in TASKS:
        for repeats in options.repeats:
            found = list(intervals(task, repeats, options.runs, options.bootstraps))
            held = sum(row.interval[0] <= TRUE_D <= row.interval[1] for row in found)
            width = float(np.mean([row.interval[1] - row.interval[0] for row in found]))
            error = float(np.sqrt(np.mean([(row.D - TRUE_D) ** 2 for row in found])))
            print(
                f"{task}, {repeats} trials a norm: {held} of {len(found)} intervals hold D; width {width:.2f}, error {error:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
