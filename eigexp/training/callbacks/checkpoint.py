"""Saves a fit within its tasks, in one file that is replaced atomically."""

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
from eigexp.training.data import Task
from eigexp.training.module import EigenModule

_SHARE = 20  # by the clock, saving takes at most one part in so many


class Checkpoint(LightningCheckpoint, TaskCallback):
    """Saves every so many steps and seconds, when the fit is asked to stop, and at the end of each task, until its results are stored.

    Being a Lightning `Checkpoint`, it runs after the other callbacks, so what they did in a step is in the file.

    Args:
        path: where a task's checkpoint lies: a folder, which holds <first id>.ckpt, or a function of the task.
        every_steps: save after so many steps; None goes by the clock alone.
        every_seconds: save after so many seconds, or less often where that would take more than a twentieth of the time; None does not.
    """

    def __init__(
        self,
        path: str | Path | Callable[[Task], str | Path] = "outputs/checkpoints",
        every_steps: int | None = None,
        every_seconds: float | None = 30.0,
    ):
        for name, value in {"every_steps": every_steps, "every_seconds": every_seconds}.items():
            if value is not None and not value > 0:
                raise ConfigurationError(f"checkpoint.{name}={value} must be greater than 0. Give null to switch it off.")
        self.path, self.every_steps, self.every_seconds = path, every_steps, every_seconds
        self._last_step, self._last_time, self._cost = 0, 0.0, 0.0

    def path_of(self, task: Task) -> Path:
        """Where the task's checkpoint lies."""
        return Path(self.path(task)) if callable(self.path) else Path(self.path) / f"{task.ids[0]}.ckpt"

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Replace Lightning's way to write, which is not atomic, unless the user chose another."""
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()

    def on_task_start(self, trainer: Trainer, module: EigenModule) -> None:
        """Count from here."""
        self._last_step, self._last_time = trainer.global_step, time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save if it is time."""
        step = trainer.global_step
        if self._due(step) or pl_module.task_over or trainer.should_stop or step == trainer.max_steps:
            self.save(trainer, pl_module)

    def on_result_written(self, trainer: Trainer, module: EigenModule) -> None:
        """The checkpoint has served."""
        assert module.task is not None
        trainer.strategy.remove_checkpoint(self.path_of(module.task))

    def save(self, trainer: Trainer, module: EigenModule) -> None:
        """Save now; of processes in step with each other, the first does."""
        assert module.task is not None
        if not trainer.strategy.is_global_zero:
            return
        began = time.monotonic()
        trainer.save_checkpoint(self.path_of(module.task), weights_only=False)
        self._last_step, self._last_time = trainer.global_step, time.monotonic()
        self._cost = self._last_time - began

    def _due(self, step: int) -> bool:
        if self.every_steps is not None and step - self._last_step >= self.every_steps:
            return True
        if self.every_seconds is None:
            return False
        return time.monotonic() - self._last_time >= max(self.every_seconds, _SHARE * self._cost)
