"""A Trainer with only what a solver needs, and none of Lightning's talk."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.callbacks import Checkpoint, ProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import Strategy

from eigexp.training.checkpoint import AtomicCheckpointIO
from eigexp.training.processes import Processes
from eigexp.training.strategy import BlockStrategy, IndependentStrategy

_LOGGERS = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero", "lightning.fabric", "lightning.pytorch")
_WARNINGS = (
    r".*isinstance\(treespec, LeafSpec\).*",  # Lightning's own use of a deprecated part of PyTorch
    r".*available but not used.*",  # a device that the user did not choose
    r".*`srun` command is available.*",  # one process a task needs no srun
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Within the block Lightning gives warnings and errors only, less three warnings that concern nobody here."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    with warnings.catch_warnings():
        for message in _WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        for logger in loggers:
            logger.addFilter(_is_warning)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeFilter(_is_warning)


class QuietTrainer(Trainer):
    """A Trainer whose construction and fit are quiet; the rest of the process keeps its warnings and logging."""

    def __init__(self, **settings: Any):
        with quiet_lightning():
            super().__init__(**settings)

    def fit(self, *args: Any, **kwargs: Any) -> None:
        """As `Trainer.fit`."""
        with quiet_lightning():
            super().fit(*args, **kwargs)


def make_trainer(
    *,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
    accelerator: str = "auto",
    devices: int = 1,
    strategy: Literal["images", "block"] | Strategy = "images",
    max_steps: int = -1,
    default_root_dir: str | Path | None = None,
    processes: Processes | None = None,
    **settings: Any,
) -> Trainer:
    """A lean Trainer: no summary, validation, default checkpoint or bar; atomic checkpoints; Slurm's signals left to PreemptionGuard.

    `trainer.fit(module, TaskData(tasks), ckpt_path=...)` ends by itself after the last task, so there is no number of epochs to give.

    Args:
        callbacks: such as those of `eigexp.training.callbacks`.
        loggers: such as those of `eigexp.training.loggers`, or Lightning's.
        accelerator: auto, cpu, cuda.
        devices: on each machine; with more than one, a process for each.
        strategy: what several processes do: "images", each every so-manieth task; "block", all the same task, each so many vectors of the
            solver's block; or one of Lightning's.
        max_steps: of all tasks together; -1 leaves it to their solvers.
        default_root_dir: where Lightning would put what nobody gave a place.
        processes: which process this is; by default as torchrun, srun or Lightning's own launcher have it.
        settings: anything else that `Trainer` takes.

    Raises:
        ConfigurationError: if `devices` is not the number of processes that were started.
    """
    processes = processes or Processes.of(devices if isinstance(strategy, str) else 1)
    kind = _accelerator(accelerator)
    silent = strategy == "block" and processes.rank > 0
    callbacks = [callback for callback in callbacks if not (silent and isinstance(callback, ProgressBar))]
    lean: dict[str, Any] = {
        "callbacks": callbacks,
        "logger": False if silent else list(loggers) or False,
        "accelerator": kind,
        "devices": [processes.local] if kind == "cuda" and processes.size == 1 else 1,
        "max_steps": max_steps,
        "max_epochs": -1,
        "enable_checkpointing": any(isinstance(callback, Checkpoint) for callback in callbacks),
        "enable_progress_bar": any(isinstance(callback, ProgressBar) for callback in callbacks),
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
        "default_root_dir": default_root_dir,
        "plugins": [AtomicCheckpointIO(), processes.environment or LightningEnvironment()],
    }
    if not isinstance(strategy, str):
        lean |= {"strategy": strategy, "devices": devices, "plugins": [AtomicCheckpointIO()]}
    elif processes.size > 1:
        lean["strategy"] = (BlockStrategy if strategy == "block" else IndependentStrategy)(devices, kind, processes)
    return QuietTrainer(**lean | settings)


def _accelerator(name: str) -> str:
    """Never Apple's MPS by itself: it has no float64."""
    return ("cuda" if CUDAAccelerator.is_available() else "cpu") if name == "auto" else name


def _is_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING
