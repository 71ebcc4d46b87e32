"""Measure the cost of the fit loop per step, with bar, CSV, W&B and checkpoints, against the same solver steps in a plain loop.

Run: python scripts/overhead.py [--steps 3000] [--repeats 3]. Of the repeats the one with the smallest mean is reported, because other
programs on the machine can only add time.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from eigexp.operators import DenseOperator, Operator
from eigexp.pairs import RitzPairs
from eigexp.solvers.base import Answer, ImageState, Progress, Request, Solver
from eigexp.training import EigenModule, Task, TaskData, loggers
from eigexp.training.callbacks import Checkpoint, Convergence, EigenvalueCurves, PreemptionGuard, SolverProgress
from eigexp.training.trainer import make_trainer
from eigexp.training.wandb_runs import WandbRuns

Moment = tuple[float, float]
Cost = tuple[float, float, float]


def moment() -> Moment:
    """Return the wall-clock time and the processor time of this process, seconds."""
    return time.perf_counter(), time.process_time()


@dataclass(frozen=True)
class Power(Solver):
    """Power iteration with a fixed number of steps, the least work that a solver can do."""

    name: ClassVar[str] = "power"
    image_state: ClassVar[type[ImageState]] = ImageState

    max_steps: int = 3000

    def start(self, A: Operator, image: int, rng: Tensor) -> ImageState:
        """Start from a constant vector."""
        return ImageState(request=Request("fisher", torch.ones(1, A.shape.n, dtype=A.dtype)))

    def advance(self, A: Operator, image: int, state: Any, answer: Answer) -> ImageState:
        """Normalise the product."""
        assert answer.back is not None
        steps = state.steps + 1
        request = Request("fisher", answer.back / answer.back.norm()) if steps < self.max_steps else None
        return replace(state, request=request, steps=steps, fisher_vector_products=float(steps))

    def image_pairs(self, state: Any) -> RitzPairs:
        """Return two unit vectors, which the bar shows at the end."""
        return RitzPairs(torch.tensor([0, 15]), torch.ones(2, dtype=torch.float64), torch.eye(16)[:2], "budget", "budget")

    def image_progress(self, state: Any) -> Progress:
        """Return two pairs with arbitrary values."""
        values = (1.0, 1e-6)
        return Progress("power", (0, 15), values, (0.5, 0.5), 1.0, 1e-5, float(state.steps), state.steps, state.done, "running")


@dataclass(frozen=True)
class Picture:
    """The attributes of an image that a task needs."""

    name: str
    pixels: Tensor


class Trivial(EigenModule):
    """An EigenModule over the identity of sixteen pixels."""

    def linearise_task(self, task: Task, *, method: str) -> Operator:
        """Return the identity."""
        return DenseOperator(torch.eye(16).expand(len(task.ids), 16, 16))


class StepTimes(Convergence):
    """Records when each step ended."""

    times: list[Moment]

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start a new list."""
        self.times = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Record the time."""
        self.times.append(moment())


def bare(solver: Solver, A: Operator) -> list[Moment]:
    """Return the end times of the steps of a plain loop."""
    state, times = solver.init(A, 0), []
    while not solver.done(state):
        state = solver.step(A, state)
        solver.progress(state)
        times.append(moment())
    return times


def fit(solver: Solver, folder: Path, callbacks: list[Any], logs: list[Any]) -> list[Moment]:
    """Return the end times of the steps of a fit."""
    clock = StepTimes()
    task = Task((Picture("trivial", torch.zeros(1, 4, 4)),), nn.Identity(), ("overhead",))  # type: ignore[arg-type]
    trainer = make_trainer(callbacks=[*callbacks, clock], loggers=logs, accelerator="cpu", default_root_dir=folder)
    module = Trivial(solver)
    module.keep_results = False  # no certificate
    trainer.fit(module, TaskData([task]))
    return clock.times


def microseconds(times: list[Moment]) -> Cost:
    """Return the median and mean wall-clock microseconds per step, and the mean processor microseconds."""
    gaps = [(b[0] - a[0]) * 1e6 for a, b in pairwise(times)]
    mean, computed = ((times[-1][i] - times[0][i]) / len(gaps) * 1e6 for i in (0, 1))
    return median(gaps), mean, computed


def best(costs: list[Cost]) -> Cost:
    """Return the measurement with the smallest mean."""
    return min(costs, key=lambda cost: cost[1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    steps, repeats = options.steps, range(options.repeats)
    torch.set_num_threads(1)
    solver = Power(max_steps=steps)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        logs = lambda: loggers.csv(folder / "csv")  # noqa: E731
        wandb = lambda: WandbRuns(save_dir=folder, every=10)  # noqa: E731
        full = lambda: [Convergence(), EigenvalueCurves(), PreemptionGuard(), SolverProgress("bar"), Checkpoint(folder / "ckpt")]  # noqa: E731
        cases: dict[str, Callable[[], tuple[list[Any], list[Any]]]] = {
            "fit alone": lambda: ([], []),
            "curves, CSV": lambda: ([EigenvalueCurves()], [logs()]),
            "curves, W&B every 10th": lambda: ([EigenvalueCurves()], [wandb()]),
            "bar": lambda: ([SolverProgress("bar")], []),
            "checkpoint": lambda: ([Checkpoint(folder / "ckpt")], []),
            "all of them": lambda: (full(), [logs(), wandb()]),
        }
        operator = DenseOperator(torch.eye(16)[None])
        results = {"bare loop": best([microseconds(bare(solver, operator)) for _ in repeats])}
        for label, make in cases.items():
            results[label] = best([microseconds(fit(solver, folder, *make())) for _ in repeats])
    base = results["bare loop"]
    print(f"{'':24}{'median':>8}{'mean':>8}{'computed':>9}  overhead of each (us per step, {steps} steps, {os.cpu_count()} cores)")
    for label, cost in results.items():
        print(f"{label:24}{cost[0]:8.0f}{cost[1]:8.0f}{cost[2]:9.0f}  {' '.join(f'{c - b:8.0f}' for c, b in zip(cost, base, strict=True))}")


if __name__ == "__main__":
    main()
