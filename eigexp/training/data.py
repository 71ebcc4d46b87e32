"""Tasks as epochs: one epoch of the fit loop solves one batch of images, and takes as many steps as the solver needs."""

import logging
from collections.abc import Sequence
from typing import Any

from lightning.pytorch import LightningDataModule

from eigexp.errors import CheckpointError, ConfigurationError
from eigexp.store import Store
from eigexp.training.steps import StoredTasks, TaskSteps
from eigexp.training.strategy import BlockStrategy, IndependentStrategy
from eigexp.training.task import Task

log = logging.getLogger(__name__)


class TaskData(LightningDataModule):
    """The tasks of one fit, in order: `trainer.fit(EigenModule(solver), TaskData(tasks))`.

    A checkpoint names its task by the ids of its results, so a fit over another list that still contains this task resumes it. Tasks
    before it in the list count as done.

    Args:
        tasks: any sequence. An item is requested when its epoch begins, so a lazy sequence holds one batch of images at a time.
        store: results for `Trainer.validate`, `test` and `predict`, if the module has none itself.
    """

    def __init__(self, tasks: Sequence[Task], store: Store | None = None):
        super().__init__()
        if not len(tasks):
            raise ConfigurationError("There are no tasks. Give at least one image.")
        self.tasks, self.store = tasks, store
        self._mine = range(len(tasks))  # positions of this process's tasks
        self._offset = 0  # from the epoch to the position, after a resume

    def setup(self, stage: str) -> None:
        """Choose this process's tasks: rank r takes every world_size-th task, starting at r, unless all processes solve the same task."""
        strategy = self.trainer.strategy if self.trainer is not None else None
        if self.trainer is not None and isinstance(strategy, IndependentStrategy) and not isinstance(strategy, BlockStrategy):
            self._mine = range(self.trainer.global_rank, len(self.tasks), self.trainer.world_size)
        if stage == "fit":
            self._warn_of_epochs()

    def task(self, epoch: int) -> Task | None:
        """Return the task of an epoch, None when all are done."""
        position = epoch + self._offset
        return self.tasks[self._mine[position]] if position < len(self._mine) else None

    def is_last(self, epoch: int) -> bool:
        """Return whether no task follows the one of this epoch."""
        return epoch + self._offset + 1 >= len(self._mine)

    def train_dataloader(self) -> TaskSteps:
        """Return the steps of the current task."""
        return TaskSteps(self)

    def val_dataloader(self) -> Any:
        """Return the tasks to certify again; within a fit the current one, where val_check_interval asks for it, else none."""
        assert self.trainer is not None
        within_fit = self.trainer.state.fn == "fit"
        return [] if within_fit and self.trainer.val_check_interval == 1.0 else StoredTasks(self, within_fit=within_fit)

    def test_dataloader(self) -> StoredTasks:
        """Return the tasks to certify again."""
        return StoredTasks(self, within_fit=False)

    def predict_dataloader(self) -> StoredTasks:
        """Return the tasks whose distorted images are wanted."""
        return StoredTasks(self, within_fit=False)

    def state_dict(self) -> dict[str, Any]:
        """Return the ids of the current task, and its epoch."""
        assert self.trainer is not None
        task = getattr(self.trainer.lightning_module, "task", None)
        return {"ids": list(task.ids) if task else [], "epoch": self.trainer.current_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Find the checkpoint's task among these.

        Raises:
            CheckpointError: if none of the tasks has its ids.
        """
        ids = tuple(state_dict["ids"])
        if not ids:
            return
        for position, number in enumerate(self._mine):
            if self.tasks[number].ids == ids:
                self._offset = position - state_dict["epoch"]
                return
        raise CheckpointError(
            f"The checkpoint belongs to the results {', '.join(ids)}, which are not among the {len(self.tasks)} tasks of this run. "
            "Run the configuration that wrote it, or delete the checkpoint to start again."
        )

    def _warn_of_epochs(self) -> None:
        """Warn where the Trainer's number of epochs is less than that of the tasks."""
        assert self.trainer is not None
        most = getattr(self.trainer, "max_epochs", None)
        if most is not None and 0 <= most - self.trainer.current_epoch < len(self._mine):
            log.warning(
                "trainer.max_epochs=%d ends the fit before all %d tasks are done, with one task per epoch. Set max_epochs=-1.",
                most,
                len(self._mine),
            )
