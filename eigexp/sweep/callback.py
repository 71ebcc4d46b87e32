"""A sweep in anybody's Trainer: each epoch is a task of the plan."""

import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from lightning.pytorch import Trainer

from eigexp.config.instantiate import construct
from eigexp.errors import CheckpointError
from eigexp.experiment.cross_table import complete_tables
from eigexp.experiment.tasks import BuiltModel, TaskList
from eigexp.experiment.writer import StoreWriter
from eigexp.store import Store
from eigexp.sweep.freeze import freeze
from eigexp.sweep.lock import claim
from eigexp.sweep.plan import Plan, PlannedTask
from eigexp.sweep.worker import record_error
from eigexp.training import EigenModule, Task, TaskData
from eigexp.training.callbacks import ResultWriter, TaskCallback
from eigexp.training.data import TaskSteps

log = logging.getLogger(__name__)
_PAUSE = 0.2  # seconds between two looks at tasks that other processes have


class Sweep(TaskCallback):
    """Hands the module the next task of this device's share, skips what the store holds, stores results, and ends the fit after the last.

    ```python
    plan = make_plan(["model=ln,lg", "images.size=128", "solver.k=1,5"])
    sweep = Sweep(plan)
    trainer = make_trainer(devices=2, callbacks=[sweep, Convergence(), EigenvalueCurves()])
    trainer.fit(sweep.module(), sweep.data)
    ```

    Each task is solved under the settings of its own configuration, whatever the module was made with. One that fails (as it begins, in a
    step, or while its result is certified and stored) is recorded in error.json and the next begins; an error in somebody's callback
    ends the fit. A ResultWriter beside it takes over the storing.

    Args:
        plan: what there is to do.
        store: where results go and what is done lies; by default the plan's.

    Attributes:
        data: to give to `trainer.fit`.
        failed: ids of the tasks that failed.
    """

    def __init__(self, plan: Plan, store: Store | None = None):
        self.store = store or plan.store
        self.data = SweepData([part for task in plan for part in task.parts or (task,)], self.store)
        self._tables = [task for task in plan if task.tables]
        self.failed: list[str] = []
        self._writer: ResultWriter | None = None

    def module(self) -> EigenModule:
        """A module for the plan's first task; any other will do."""
        settings = _settings(self.data.planned[0])
        return EigenModule(settings.pop("solver"), **settings)

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Store results, unless a ResultWriter does."""
        callbacks: list[Any] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        if not any(isinstance(callback, ResultWriter) for callback in callbacks):
            self._writer = ResultWriter(StoreWriter(self.store, pl_module))

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """From here, a failing task ends itself only."""
        pl_module.on_failure = self._failed

    def on_task_end(self, trainer: Trainer, module: EigenModule) -> None:
        """Store the results with their figures, and show them to the loggers."""
        if self._writer is not None:
            self._writer.on_task_end(trainer, module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Make the tables of several layers whose results are there; later fits of the module raise again."""
        self._release(pl_module)
        if trainer.is_global_zero:
            built = BuiltModel()
            for task in self._tables:
                complete_tables(TaskList(task.config, built).among(task.ids), self.store)

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Record an error that ends the fit with the task at work."""
        self._release(pl_module)
        if isinstance(exception, Exception) and pl_module.task is not None:
            self._failed(pl_module.task, exception)

    def _release(self, pl_module: Any) -> None:
        pl_module.on_failure = None
        self.data.release()

    def _failed(self, task: Task, error: Exception) -> None:
        self.failed.append(task.ids[0])
        log.warning("%s %s failed: %s", task.model_name, ", ".join(task.names), record_error(self.store, task.ids[0], error))


class SweepData(TaskData):
    """The tasks of a plan, built when their epoch begins; the network is kept while only the image changes.

    Args:
        planned: in order; of several devices each takes every so-manieth.
        store: what it holds is skipped, and what a living process works on is waited for, should that die.
    """

    def __init__(self, planned: Sequence[PlannedTask], store: Store):
        super().__init__(planned)  # pyright: ignore[reportArgumentType]
        self.planned, self.store = planned, store
        self._built = BuiltModel()
        self._claim = ExitStack()
        self._left: list[int] = []

    def setup(self, stage: str) -> None:
        """This device's share."""
        super().setup(stage)
        self._left = list(self._mine)

    def next_task(self) -> Task | None:
        """Build the next task that is not stored, and give the module its settings; None when the plan is empty."""
        trainer = self._trainer()
        first = trainer.strategy.is_global_zero
        number = trainer.strategy.broadcast(self._take() if first else None)  # processes in step with each other take the same
        if number is None:
            return None
        planned = self.planned[number]
        if first:
            freeze(self.store, [planned], {"launcher": "trainer", "host": socket.gethostname(), "pid": os.getpid()})
        settings = _settings(planned)
        trainer.lightning_module.use(settings.pop("solver"), **settings)  # pyright: ignore[reportCallIssue]
        return TaskList(planned.config, self._built).among(planned.ids)[0]

    def is_last(self, epoch: int) -> bool:
        """Nothing is left of this device's share."""
        return self._trainer().strategy.broadcast(all(self._stored(number) for number in self._left))

    def train_dataloader(self) -> TaskSteps:
        """The steps of the current task."""
        return _SweepSteps(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the checkpoint's task.

        Raises:
            CheckpointError: if it is not of this plan, or done already.
        """
        ids = tuple(state_dict["ids"])
        for number in self._left:
            if ids == self.planned[number].ids:
                self._left = [number, *(other for other in self._left if other != number)]
                return
        raise CheckpointError(f"The checkpoint belongs to the results {', '.join(ids)}, which this device has not in its plan. Delete it.")

    def release(self) -> None:
        """Let go of the task at hand."""
        self._claim.close()

    def _take(self) -> int | None:
        """The first task that is neither stored nor in work elsewhere, claimed."""
        self.release()
        while self._left:
            self._left = [number for number in self._left if not self._stored(number)]
            for number in self._left:
                if self._claim.enter_context(claim(self.store, self.planned[number].id)):
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
    """Begins tasks until one does begin, then yields until it is over."""

    def __init__(self, data: SweepData):
        super().__init__(data)
        self._sweep = data

    def __iter__(self) -> Iterator[int]:
        trainer = self._sweep.trainer
        assert trainer is not None
        module: Any = trainer.lightning_module
        while (task := self._sweep.next_task()) is not None and not self._begun(module, task):
            pass
        if task is None:
            module.leave()
        step = 0
        while task is not None and not module.task_over:
            yield step
            step += 1
        if self._sweep.is_last(trainer.current_epoch):
            trainer.should_stop = True

    def _begun(self, module: Any, task: Task) -> bool:
        try:
            module.begin(task)
        except Exception as error:
            if module.on_failure is None:
                raise
            module.on_failure(task, error)
            return False
        return True


def _settings(task: PlannedTask) -> dict[str, Any]:
    config = task.config
    parts = {name: construct(config[name], name) for name in ("solver", "noise", "subspace")}
    return {**parts, "linearise": config["linearise"], "seed": config["seed"]}
