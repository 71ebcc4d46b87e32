"""Tasks as epochs: one epoch of the fit loop solves one batch of images, and takes as many steps as the solver needs."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from lightning.pytorch import LightningDataModule

from eigexp.errors import CheckpointError, ConfigurationError
from eigexp.training.strategy import BlockStrategy, IndependentStrategy
from eigexp.training.task import Task


class TaskData(LightningDataModule):
    """The tasks of one fit, in order: `trainer.fit(EigenModule(solver), TaskData(tasks))`.

    A checkpoint names its task by the ids of its results, so a fit over another list that still contains this task resumes it. Tasks
    before it in the list count as done.

    Args:
        tasks: any sequence. An item is requested when its epoch begins, so a lazy sequence holds one batch of images at a time.
    """

    def __init__(self, tasks: Sequence[Task]):
        super().__init__()
        if not len(tasks):
            raise ConfigurationError("There are no tasks. Give at least one image.")
        self.tasks = tasks
        self._mine = range(len(tasks))  # positions of this process's tasks
        self._offset = 0  # from the epoch to the position, after a resume

    def setup(self, stage: str) -> None:
        """Choose this process's tasks: rank r takes every world_size-th task, starting at r, unless all processes solve the same task."""
        strategy = self.trainer.strategy if self.trainer is not None else None
        if self.trainer is not None and isinstance(strategy, IndependentStrategy) and not isinstance(strategy, BlockStrategy):
            self._mine = range(self.trainer.global_rank, len(self.tasks), self.trainer.world_size)

    def task(self, epoch: int) -> Task | None:
        """Return the task of an epoch, None when all are done."""
        position = epoch + self._offset
        return self.tasks[self._mine[position]] if position < len(self._mine) else None

    def is_last(self, epoch: int) -> bool:
        """Return whether no task follows the one of this epoch."""
        return epoch + self._offset + 1 >= len(self._mine)

    def train_dataloader(self) -> "TaskSteps":
        """Return the steps of the current task."""
        return TaskSteps(self)

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


class TaskSteps:
    """What the fit loop iterates over: begins the task of the current epoch, yields until it is over, and stops the fit after the last.

    Lightning needs a length to save and resume within an epoch. The number of steps is not known beforehand, so the length is huge.
    """

    def __init__(self, data: TaskData):
        self._data = data

    def __len__(self) -> int:
        return sys.maxsize

    def __iter__(self) -> Iterator[int]:
        # This must be a generator: Lightning calls iter() before it knows the epoch of a resumed run, but next() only afterwards.
        trainer = self._data.trainer
        assert trainer is not None
        epoch = trainer.current_epoch
        module: Any = trainer.lightning_module
        task = self._data.task(epoch)
        if task is not None:
            module.begin(task)
            step = 0
            while not module.task_over:
                yield step
                step += 1
        if self._data.is_last(epoch):
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return an empty dict: the solver's state is the position. The method's existence tells Lightning that an epoch can be resumed."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do nothing: there is nothing to load."""
