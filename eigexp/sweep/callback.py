"""Run a sweep in a Trainer of your own: each epoch is one task of the plan."""

import logging
import os
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from lightning.pytorch import Trainer

from eigexp.errors import CheckpointError
from eigexp.experiment.cross_table import complete_tables
from eigexp.experiment.parts import solve_settings
from eigexp.experiment.plan_cache import PlanCache
from eigexp.experiment.tasks import TaskList
from eigexp.experiment.writer import StoreWriter
from eigexp.store import Store
from eigexp.sweep.failures import record_error
from eigexp.sweep.lock import task_lock
from eigexp.sweep.plan import Plan, PlannedTask
from eigexp.sweep.task_files import write_tasks
from eigexp.training import EigenModule, Task, TaskData
from eigexp.training.callbacks import ResultWriter, TaskCallback
from eigexp.training.data import TaskSteps

log = logging.getLogger(__name__)
_PAUSE = 0.2  # seconds before tasks that other processes have locked are tried again


class Sweep(TaskCallback):
    """Gives the module one task after the other, skips stored results, stores new ones, and ends the fit after the last task.

    ```python
    plan = make_plan(["model=ln,lg", "images.size=128", "solver.k=1,5"])
    sweep = Sweep(plan)
    trainer = make_trainer(devices=2, callbacks=[sweep, Convergence(), EigenvalueCurves()])
    trainer.fit(sweep.module(), sweep.data)
    ```

    Each task is solved with the settings of its own configuration, whatever settings the module has. When a task fails (as it begins, in a
    step, or while its result is certified or stored), the error is written to error.json and the next task begins. An error in a callback
    ends the fit. If the Trainer has a ResultWriter, that one stores the results.

    Args:
        plan: of the sweep.
        store: where results are looked up and written; by default the plan's.

    Attributes:
        data: for `trainer.fit`.
        failed: ids of the tasks that failed.
    """

    def __init__(self, plan: Plan, store: Store | None = None):
        self.store = store or plan.store
        self.data = SweepData([part for task in plan for part in task.parts or (task,)], self.store)
        self._tables = [task for task in plan if task.tables]
        self.failed: list[str] = []
        self._writer: ResultWriter | None = None

    def module(self) -> EigenModule:
        """Return a module with the settings of the first task; any other EigenModule works as well."""
        return EigenModule(**vars(solve_settings(self.data.planned[0].config)))

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Prepare to store results, unless the Trainer has a ResultWriter."""
        callbacks: list[Any] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        if not any(isinstance(callback, ResultWriter) for callback in callbacks):
            self._writer = ResultWriter(StoreWriter(self.store, pl_module))

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Let a task that fails end only itself."""
        pl_module.on_failure = self._failed

    def on_task_end(self, trainer: Trainer, module: EigenModule) -> None:
        """Store the results with their figures, and log them."""
        if self._writer is not None:
            self._writer.on_task_end(trainer, module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Write the cross tables whose results are complete."""
        self._release(pl_module)
        if trainer.is_global_zero:
            cache = PlanCache()
            for task in self._tables:
                complete_tables(TaskList(task.config, cache).among(task.ids), self.store)

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Record the error with the current task."""
        self._release(pl_module)
        if isinstance(exception, Exception) and pl_module.task is not None:
            self._failed(pl_module.task, exception)

    def _release(self, pl_module: Any) -> None:
        """Unlock the task, and let later fits of the module raise their errors again."""
        pl_module.on_failure = None
        self.data.release()

    def _failed(self, task: Task, error: Exception) -> None:
        self.failed.append(task.ids[0])
        log.warning("%s %s failed: %s", task.model_name, ", ".join(task.names), record_error(self.store, task.ids[0], error))


class SweepData(TaskData):
    """The tasks of a plan, each built when its epoch begins. The network is kept from task to task while only the image changes.

    Args:
        planned: in order; rank r takes every world_size-th task, starting at r.
        store: tasks stored there are skipped; tasks locked by another process are waited for, in case it dies.
    """

    def __init__(self, planned: Sequence[PlannedTask], store: Store):
        super().__init__(planned)  # pyright: ignore[reportArgumentType]
        self.planned, self.store = planned, store
        self._cache = PlanCache()
        self._lock = ExitStack()
        self._left: list[int] = []

    def setup(self, stage: str) -> None:
        """Select this device's share."""
        super().setup(stage)
        self._left = list(self._mine)

    def next_task(self) -> Task | None:
        """Build the next task that is not stored, and give the module its settings. Return None when none is left."""
        trainer = self._trainer()
        first = trainer.strategy.is_global_zero
        # Processes that share one block of vectors must take the same task: the first one chooses, and holds the lock for all.
        number = trainer.strategy.broadcast(self._lock_next() if first else None)
        if number is None:
            return None
        planned = self.planned[number]
        if first:
            write_tasks(self.store, [planned], {"launcher": "trainer", "host": socket.gethostname(), "pid": os.getpid()})
        module: Any = trainer.lightning_module
        module.settings = solve_settings(planned.config)
        return TaskList(planned.config, self._cache).among(planned.ids)[0]

    def is_last(self, epoch: int) -> bool:
        """Return whether nothing is left of this device's share."""
        return self._trainer().strategy.broadcast(all(self._stored(number) for number in self._left))

    def train_dataloader(self) -> TaskSteps:
        """Return the steps of the current task."""
        return _SweepSteps(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the task of the checkpoint.

        Raises:
            CheckpointError: if this device's share does not have that task, or it is stored already.
        """
        ids = tuple(state_dict["ids"])
        for number in self._left:
            if ids == self.planned[number].ids:
                self._left = [number, *(other for other in self._left if other != number)]
                return
        raise CheckpointError(f"The checkpoint is of the results {', '.join(ids)}, which are not in the plan of this device. Delete it.")

    def release(self) -> None:
        """Unlock the current task."""
        self._lock.close()

    def _lock_next(self) -> int | None:
        """Lock the first task that is neither stored nor locked by another process, and return its number."""
        self.release()
        while self._left:
            self._left = [number for number in self._left if not self._stored(number)]
            for number in self._left:
                if self._lock.enter_context(task_lock(self.store, self.planned[number].id)):
                    self._left.remove(number)
                    return number
                self.release()
            if self._left:
                time.sleep(_PAUSE)
        return None

    def _stored(self, number: int) -> bool:
        return all(self.store.has(id) for id in self.planned[number].ids)

    def _trainer(self) -> Trainer:
        assert self.trainer is not None
        return self.trainer


class _SweepSteps(TaskSteps):
    """Begins the next task, or those after it if it fails to begin."""

    def __init__(self, data: SweepData):
        super().__init__(data)
        self._sweep = data

    def start_task(self, module: Any, epoch: int) -> bool:
        """Begin the next task that can be begun. Returns whether there is one."""
        while (task := self._sweep.next_task()) is not None and not self._has_begun(module, task):
            pass
        if task is None:
            module.clear_task()
        return task is not None

    def _has_begun(self, module: Any, task: Task) -> bool:
        try:
            module.begin(task)
        except Exception as error:
            if module.on_failure is None:
                raise
            module.on_failure(task, error)
            return False
        return True
