"""A solver, a network and tasks as small as can be; importable from the subprocesses of tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint, ProgressBar
from torch import Tensor, nn

from eigexp.images import Image
from eigexp.operators import Operator
from eigexp.pairs import RitzPairs
from eigexp.solvers.base import Answer, ImageState, Progress, Request, Solver
from eigexp.training import EigenModule, Task

SIDE = 4


@dataclass(frozen=True)
class PowerImage(ImageState):
    """A growing history beside the vector, so that checkpoints change shape from step to step."""

    history: Tensor
    n: int
    residual: float


@dataclass(frozen=True)
class Power(Solver):
    """Power iteration for the largest eigenvalue of each image."""

    name: ClassVar[str] = "power"
    image_state: ClassVar[type[ImageState]] = PowerImage

    tol: float = 1e-9
    max_steps: int = 30

    def start(self, A: Operator, image: int, rng: Tensor) -> PowerImage:
        generator = torch.Generator()
        generator.set_state(rng)
        v = torch.randn(1, A.shape.n, generator=generator, dtype=A.dtype).to(A.device)
        return PowerImage(
            request=Request("fisher", v / v.norm()), history=torch.zeros(0, dtype=torch.float64), n=A.shape.n, residual=float("nan")
        )

    def advance(self, A: Operator, image: int, state: PowerImage, answer: Answer) -> PowerImage:
        assert state.request is not None and answer.back is not None
        v, w = state.request.block, answer.back
        value = float((v * w).sum())
        residual = float((w - value * v).norm())
        steps = state.steps + 1
        status = "converged" if residual <= self.tol * value else "budget" if steps >= self.max_steps else "running"
        return PowerImage(
            request=Request("fisher", w / w.norm()) if status == "running" else None,
            fisher_vector_products=state.fisher_vector_products + 1,
            steps=steps,
            status=status,
            history=torch.cat([state.history, torch.tensor([value], dtype=torch.float64)]),
            n=state.n,
            residual=residual,
        )

    def image_pairs(self, state: PowerImage) -> RitzPairs:
        v = state.request.block if state.request else torch.ones(1, state.n)
        known = min(state.steps, 1)  # before the first step there is no pair
        evidence = "converged" if state.status == "converged" else "budget"
        return RitzPairs(torch.zeros(known, dtype=torch.int64), state.history[-1:], v[:known], evidence, None)

    def image_progress(self, state: PowerImage) -> Progress:
        known = state.steps > 0
        value = float(state.history[-1]) if known else 0.0
        return Progress(
            "power", (0,) if known else (), (value,) if known else (), (state.residual,) if known else (), value, self.tol,
            state.fisher_vector_products, state.steps, state.request is None, state.status,
        )  # fmt: skip


class Network(nn.Module):
    """A small network with smooth non-linearities and parameters that must not enter checkpoints."""

    def __init__(self, seed: int = 0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(20, SIDE * SIDE, generator=generator) / 4, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x.flatten(1) @ self.weight.T)


def task(*names: str, dtype: torch.dtype = torch.float32) -> Task:
    """A task with one random image a name, and the names as ids."""
    images = []
    for name in names:
        generator = torch.Generator().manual_seed(sum(map(ord, name)))
        images.append(Image(name, torch.rand(1, SIDE, SIDE, generator=generator).to(dtype)))
    return Task(tuple(images), Network(), names, tuple({"image": name} for name in names), model_name="network")


class ToyModule(EigenModule):
    """Without certificates: the pairs are the solver's own."""

    def eigenpairs(self) -> list[Any]:
        return self.solver.pairs(self.state)


def module(solver: Solver | None = None, **settings: Any) -> EigenModule:
    """A module over the toy solver, with a fixed way to linearise."""
    return ToyModule(solver or Power(), linearise="double_backward", **settings)


def trainer(*callbacks: Callback, logger: Any = False, **settings: Any) -> Trainer:
    """A plain Trainer of Lightning's own, as anybody would build it."""
    lean: dict[str, Any] = {
        "max_epochs": -1,
        "accelerator": "cpu",
        "logger": logger,
        "callbacks": list(callbacks),
        "enable_checkpointing": any(isinstance(c, Checkpoint) for c in callbacks),
        "enable_progress_bar": any(isinstance(c, ProgressBar) for c in callbacks),
        "enable_model_summary": False,
    }
    return Trainer(**lean | settings)


def numbers(work: EigenModule) -> dict[str, Any]:
    """The solver's state as a flat dict."""
    return work.state.to_dict()


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Equal bit for bit."""
    return a.keys() == b.keys() and all(
        torch.equal(x, b[key]) if isinstance(x, Tensor) else repr(x) == repr(b[key]) for key, x in a.items()
    )


class SaveAt(Callback):
    """Saves, and stops, after a given global step: whatever a user might write."""

    def __init__(self, step: int, path: Path):
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path, weights_only=False)
            trainer.should_stop = True
