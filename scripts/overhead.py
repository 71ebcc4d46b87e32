"""What the fit loop costs a step: bar, CSV, W&B and checkpoints on, against the same solver steps in a bare loop.

Run: python scripts/overhead.py [--steps 3000]
"""

import argparse
import os
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from eigexp.operators import DenseOperator, SensitivityOperator
from eigexp.pairs import RitzPairs
from eigexp.solvers.base import Answer, ImageState, Progress, Request, Solver
from eigexp.training import EigenModule, Task, TaskData, loggers
from eigexp.training.callbacks import Checkpoint, Convergence, EigenvalueCurves, PreemptionGuard, SolverProgress
from eigexp.training.trainer import make_trainer
from eigexp.training.wandb_runs import WandbRuns


@dataclass(frozen=True)
class Power(Solver):
    """Power iteration of a fixed number of steps: as little work as a solver can do."""

    name: ClassVar[str] = "power"
    image_state: ClassVar[type[ImageState]] = ImageState

    max_steps: int = 3000

    def start(self, A: SensitivityOperator, image: int, rng: Tensor) -> ImageState:
        """A constant vector."""
        return ImageState(Request("fisher", torch.ones(1, A.shape.n, dtype=A.dtype)), 0.0, 0, "running")

    def advance(self, A: SensitivityOperator, image: int, state: Any, answer: Answer) -> ImageState:
        """The product, normalised."""
        assert answer.back is not None
        steps = state.steps + 1
        request = Request("fisher", answer.back / answer.back.norm()) if steps < self.max_steps else None
        return replace(state, request=request, steps=steps, fisher_vector_products=float(steps))

    def image_pairs(self, state: Any) -> RitzPairs:
        """Not asked for here."""
        raise NotImplementedError

    def image_progress(self, state: Any) -> Progress:
        """Two pairs with made-up values."""
        values = (1.0, 1e-6)
        return Progress("power", (0, 15), values, (0.5, 0.5), 1.0, 1e-5, float(state.steps), state.steps, state.done, "running")


@dataclass(frozen=True)
class Picture:
    """What a task needs of an image."""

    name: str
    pixels: Tensor


class Trivial(EigenModule):
    """An EigenModule over the identity of sixteen pixels."""

    def linearise_task(self, task: Task, *, way: str) -> SensitivityOperator:
        """The identity."""
        return DenseOperator(torch.eye(16).expand(len(task.ids), 16, 16))


class StepTimes(Convergence):
    """Notes when each step ended."""

    times: list[float]

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start over."""
        self.times = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Note the time."""
        self.times.append(time.perf_counter())


def bare(solver: Solver, A: SensitivityOperator) -> list[float]:
    """End times of the steps of a plain loop."""
    state, times = solver.init(A, 0), []
    while not solver.done(state):
        state = solver.step(A, state)
        solver.progress(state)
        times.append(time.perf_counter())
    return times


def fit(solver: Solver, folder: Path, callbacks: list[Any], logs: list[Any]) -> list[float]:
    """End times of the steps of a fit."""
    clock = StepTimes()
    task = Task((Picture("trivial", torch.zeros(1, 4, 4)),), nn.Identity(), ("overhead",))  # type: ignore[arg-type]
    trainer = make_trainer(callbacks=[*callbacks, clock], loggers=logs, accelerator="cpu", default_root_dir=folder)
    trainer.fit(Trivial(solver), TaskData([task]))
    return clock.times


def microseconds(times: list[float]) -> tuple[float, float]:
    """Median and mean microseconds a step."""
    gaps = [(b - a) * 1e6 for a, b in pairwise(times)]
    return median(gaps), (times[-1] - times[0]) / (len(times) - 1) * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3000)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    solver = Power(max_steps=steps)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        full = lambda: [Convergence(), EigenvalueCurves(), PreemptionGuard(), SolverProgress("bar"), Checkpoint(folder / "ckpt")]  # noqa: E731
        cases = {
            "fit alone": ([], []),
            "curves, CSV": ([EigenvalueCurves()], [loggers.csv(folder / "a")]),
            "curves, W&B every 10th": ([EigenvalueCurves()], [WandbRuns(save_dir=folder, every=10)]),
            "bar": ([SolverProgress("bar")], []),
            "checkpoint": ([Checkpoint(folder / "ckpt")], []),
            "all of them": (full(), [loggers.csv(folder / "b"), WandbRuns(save_dir=folder, every=10)]),
        }
        results = {"bare loop": microseconds(bare(solver, DenseOperator(torch.eye(16)[None])))}
        for label, (callbacks, logs) in cases.items():
            results[label] = microseconds(fit(solver, folder, callbacks, logs))
    base = results["bare loop"]
    print(f"{'':24}{'median':>8}{'mean':>8}  overhead (us a step, {steps} steps, {os.cpu_count()} cores)")
    for label, (middle, mean) in results.items():
        print(f"{label:24}{middle:8.0f}{mean:8.0f}{middle - base[0]:8.0f}{mean - base[1]:8.0f}")


if __name__ == "__main__":
    main()
