"""Save a task while it is solved, in one file that is replaced atomically."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint as LightningCheckpoint

from eigexp.errors import ConfigurationError
from eigexp.training.callbacks.task import TaskCallback
from eigexp.training.checkpoint import AtomicCheckpointIO
from eigexp.training.module import EigenModule
from eigexp.training.task import Task

_MIN_INTERVAL = 20  # times the duration of a save, so that saving by the clock takes at most 5 % of the time


class Checkpoint(LightningCheckpoint, TaskCallback):
    """Saves at intervals of steps and seconds, when the fit is asked to stop, and at the end of each task, until its results are stored.

    Lightning runs a `Checkpoint` after the other callbacks, so the file contains what they did in the same step.

    Args:
        path: of a task's checkpoint: a folder for <first id>.ckpt, or a function of the task.
        every_steps: save after this number of steps; None for no such interval.
        every_seconds: save after this time, or less often where saving would take more than 5 % of the time; None for no such interval.
    """

    def __init__(
        self,
        path: str | Path | Callable[[Task], str | Path] = "outputs/checkpoints",
        every_steps: int | None = None,
        every_seconds: float | None = 30.0,
    ):
        for name, value in {"every_steps": every_steps, "every_seconds": every_seconds}.items():
            if value is not None and not value > 0:
                raise ConfigurationError(f"checkpoint.{name}={value} must be greater than 0. Give null to disable it.")
        self.path, self.every_steps, self.every_seconds = path, every_steps, every_seconds
        self._last_step, self._last_time, self._duration = 0, 0.0, 0.0

    def path_of(self, task: Task) -> Path:
        """Return the path of the task's checkpoint."""
        return Path(self.path(task)) if callable(self.path) else Path(self.path) / f"{task.ids[0]}.ckpt"

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Replace Lightning's writer, which is not atomic, unless the user chose another."""
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()

    def on_task_start(self, trainer: Trainer, module: EigenModule) -> None:
        """Start both intervals."""
        self._last_step, self._last_time = trainer.global_step, time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save if an interval has passed or the fit is about to stop."""
        step = trainer.global_step
        if self._due(step) or pl_module.task_over or trainer.should_stop or step == trainer.max_steps:
            self.save(trainer, pl_module)

    def on_result_written(self, trainer: Trainer, module: EigenModule) -> None:
        """Delete the checkpoint: the results are stored."""
        assert module.task is not None
        trainer.strategy.remove_checkpoint(self.path_of(module.task))

    def save(self, trainer: Trainer, module: EigenModule) -> None:
        """Save now. Of processes in lockstep only the first saves."""
        assert module.task is not None
        if not trainer.strategy.is_global_zero:
            return
        began = time.monotonic()
        trainer.save_checkpoint(self.path_of(module.task), weights_only=False)
        self._last_step, self._last_time = trainer.global_step, time.monotonic()
        self._duration = self._last_time - began

    def _due(self, step: int) -> bool:
        if self.every_steps is not None and step - self._last_step >= self.every_steps:
            return True
        if self.every_seconds is None:
            return False
        return time.monotonic() - self._last_time >= max(self.every_seconds, _MIN_INTERVAL * self._duration)
