"""What a callback can hear of tasks, beside Lightning's own hooks."""

from lightning.pytorch import Callback, Trainer

from eigexp.training.module import EigenModule


class TaskCallback(Callback):
    """Base of callbacks that follow tasks. Lightning's `on_train_epoch_start` is silent on a resume within an epoch; these are not."""

    def on_task_start(self, trainer: Trainer, module: EigenModule) -> None:
        """A task begins or resumes: it is linearised and its state is there."""

    def on_task_end(self, trainer: Trainer, module: EigenModule) -> None:
        """A task is over, and its results are final. Not called when the fit stops within a task."""

    def on_result_written(self, trainer: Trainer, module: EigenModule) -> None:
        """All results of the task are stored."""
