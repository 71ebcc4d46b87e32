"""A Trainer with only what a solver needs, without Lightning's messages."""

import importlib.metadata
import inspect
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities import registry
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.callbacks import Checkpoint, ProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import Strategy

from eigexp.errors import ConfigurationError, nearest
from eigexp.training.checkpoint import AtomicCheckpointIO
from eigexp.training.processes import Processes
from eigexp.training.strategy import BlockStrategy, IndependentStrategy

_LOGGERS = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero", "lightning.fabric", "lightning.pytorch")
_WARNINGS = (
    r".*isinstance\(treespec, LeafSpec\).*",  # Lightning's own use of a deprecated part of PyTorch
    r".*available but not used.*",  # a device that the user did not choose
    r".*callbacks used to create the checkpoint need to be provided.*",  # a checkpoint serves a run with other callbacks as well
    r".*`srun` command is available.*",  # one process needs no srun
)

_entry_points = cache(importlib.metadata.entry_points)
_PRIVATE: Any = registry  # of Lightning: it has no public way to load no plugins


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Suppress Lightning's information messages within the block, and those of its warnings that do not apply here."""
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


@contextmanager
def _installed_once() -> Iterator[None]:
    """Let Lightning search the installed packages for plugins once in a process, not for every Trainer.

    The search reads a file of every package, in a sweep half of the time that Lightning takes for a small task.
    """
    search = _PRIVATE.entry_points
    _PRIVATE.entry_points = _entry_points
    try:
        yield
    finally:
        _PRIVATE.entry_points = search


class QuietTrainer(Trainer):
    """A Trainer whose construction and fit are quiet. Warnings and logging of the rest of the process are not changed."""

    def __init__(self, **settings: Any):
        with quiet_lightning(), _installed_once():
            super().__init__(**settings)

    def fit(self, *args: Any, **kwargs: Any) -> None:
        """Fit quietly; arguments as for `Trainer.fit`."""
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
    deterministic: bool = True,
    **settings: Any,
) -> Trainer:
    """Make a Trainer with atomic checkpoints, without Lightning's summary, validation, default checkpoint, bar and Slurm signal handlers.

    `trainer.fit(module, TaskData(tasks), ckpt_path=...)` ends after the last task, so no number of epochs is needed.

    Args:
        callbacks: from `eigexp.training.callbacks`, or Lightning's.
        loggers: from `eigexp.training.loggers`, or Lightning's.
        accelerator: auto, cpu or cuda.
        devices: on each machine; with more than one, each gets a process.
        strategy: what several processes do. "images": rank r takes every world_size-th task, starting at r. "block": all processes solve
            the same task, and each computes the products of some vectors of the solver's block. Or a strategy of Lightning.
        max_steps: of all tasks together; -1 for no limit but the solvers' own.
        default_root_dir: Lightning's folder for files without another place.
        processes: which process this is; by default detected from torchrun, srun or Lightning's launcher.
        deterministic: whether GPUs use deterministic algorithms where there are any, so that a resumed run equals an uninterrupted one;
            an operation without one warns.
        settings: further arguments of `Trainer`.

    Raises:
        ConfigurationError: if `devices` is not the number of processes that were started, or a setting is unknown.
    """
    known = inspect.signature(Trainer).parameters
    if unknown := [name for name in settings if name not in known]:
        raise ConfigurationError(f"trainer.{unknown[0]} is not an argument of Lightning's Trainer. {nearest(unknown[0], known)}")
    processes = processes or Processes.detect(devices if isinstance(strategy, str) else 1)
    kind = _accelerator(accelerator)
    silent = strategy == "block" and processes.rank > 0  # it would show and log the same numbers as the first process
    callbacks = [callback for callback in callbacks if not (silent and isinstance(callback, ProgressBar))]
    lean: dict[str, Any] = {
        "callbacks": callbacks,
        "logger": False if silent else list(loggers) or False,
        "accelerator": kind,
        "devices": [processes.device(kind).index] if kind == "cuda" and processes.size == 1 else 1,
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
    if kind == "cuda" and deterministic:
        lean["deterministic"] = "warn"
    if not isinstance(strategy, str):
        lean |= {"strategy": strategy, "devices": devices, "plugins": [AtomicCheckpointIO()]}
    elif processes.size > 1:
        lean["strategy"] = (BlockStrategy if strategy == "block" else IndependentStrategy)(devices, kind, processes)
    return QuietTrainer(**lean | settings)


def _accelerator(name: str) -> str:
    """Return the accelerator. "auto" never chooses Apple's MPS, which has no float64."""
    return ("cuda" if CUDAAccelerator.is_available() else "cpu") if name == "auto" else name


def _is_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING
