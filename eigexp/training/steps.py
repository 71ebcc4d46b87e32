"""What Lightning's loops iterate over: the steps of a task, and the tasks whose results are checked or shown."""

import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Trainer

if TYPE_CHECKING:
    from eigexp.training.data import TaskData

CURRENT = -1  # stands for the position of the current task


class TaskSteps:
    """What the fit loop iterates over: yields until the task of the current epoch is over.

    Lightning needs a length to save and resume within an epoch, and asks for it before a task is known. So the length is huge, and when an
    epoch begins, its number of batches is set to the most steps that the solver may take, which bars show.
    """

    def __init__(self, data: "TaskData"):
        self._data = data
        self._begun = (-1, False)  # the epoch that has begun, and whether it has a task

    @property
    def sampler(self) -> "TaskSteps":
        """What Lightning tells the epoch as it begins."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Begin the epoch's task, before callbacks hear of the epoch. Lightning calls this also before the fit begins; then it waits."""
        if getattr(self._trainer.lightning_module, "fitting", False):
            self._begin(self._trainer.current_epoch)

    def __len__(self) -> int:
        return sys.maxsize

    def __iter__(self) -> Iterator[int]:
        # This must be a generator: Lightning calls iter() before it knows the epoch of a resumed run, but next() only afterwards.
        if self._begin(self._trainer.current_epoch):
            module: Any = self._trainer.lightning_module
            step = 0
            while not module.task_over:
                yield step
                step += 1

    def state_dict(self) -> dict[str, Any]:
        """Return an empty dict: the solver's state is the position. The method's existence tells Lightning that an epoch can be resumed."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do nothing: there is nothing to load."""

    @property
    def _trainer(self) -> Trainer:
        assert self._data.trainer is not None
        return self._data.trainer

    def start_task(self, module: Any, epoch: int) -> bool:
        """Begin the task of an epoch. Returns whether there is one."""
        task = self._data.task(epoch)
        if task is None:
            module.clear_task()
        else:
            module.begin(task)
        return task is not None

    def _begin(self, epoch: int) -> bool:
        if self._begun[0] != epoch:
            module: Any = self._trainer.lightning_module
            self._begun = (epoch, self.start_task(module, epoch))
            if self._begun[1]:
                _set_length(self._trainer, module.steps_allowed)
        return self._begun[1]


class StoredTasks:
    """The positions of the tasks whose results a validation, test or prediction takes up; within a fit, that of the current task alone."""

    def __init__(self, data: "TaskData", *, within_fit: bool):
        self._data, self._within_fit = data, within_fit

    def __len__(self) -> int:
        return 1 if self._within_fit else len(self._data.tasks)

    def __iter__(self) -> Iterator[int]:
        assert self._data.trainer is not None
        if self._within_fit:
            begun = getattr(self._data.trainer.lightning_module, "task", None) is not None
            return iter([CURRENT] if begun else [])  # none in the sanity check before the first task
        return iter(range(len(self)))


def _set_length(trainer: Trainer, steps: int | None) -> None:
    """Set the number of batches of the epoch: the steps allowed, or fewer by limit_train_batches; infinite where none is known."""
    limit = trainer.limit_train_batches
    length = math.inf if steps is None else steps
    if isinstance(limit, int):
        length = min(length, limit)
    elif limit is not None and limit < 1 and length < math.inf:
        length = max(1, int(length * limit))
    trainer.fit_loop.max_batches = length
    if isinstance(trainer.val_check_interval, float):
        trainer.val_check_batch = length if length == math.inf else max(1, int(length * trainer.val_check_interval))
