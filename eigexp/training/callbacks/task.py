"""Hooks for tasks, in addition to Lightning's own."""

from lightning.pytorch import Callback, Trainer

from eigexp.training.module import EigenModule


class TaskCallback(Callback):
    """Base class with hooks for tasks. Unlike Lightning's `on_train_epoch_start`, they are also called on a resume within an epoch."""

    def on_task_start(self, trainer: Trainer, module: EigenModule) -> None:
        """Handle a task that begins or resumes. It is linearised, and its solver has a state."""

    def on_task_end(self, trainer: Trainer, module: EigenModule) -> None:
        """Handle a finished task, whose results are final. Not called when the fit stops within a task."""

    def on_result_written(self, trainer: Trainer, module: EigenModule) -> None:
        """Handle a task whose results are all stored."""
