"""A sweep in anybody's Trainer: each epoch is a task of the plan."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from lightning.pytorch import Trainer

from eigexp.construct import construct
from eigexp.errors import CheckpointError
from eigexp.pairs import EigenPairs
from eigexp.store import Store, build_record, environment
from eigexp.sweep.freeze import freeze
from eigexp.sweep.plan import Plan, PlannedTask
from eigexp.sweep.worker import record_error
from eigexp.tasks import BuiltModel, TaskList
from eigexp.training import EigenModule, Task, TaskData
from eigexp.training.callbacks import EigenvalueCurves, ResultWriter, TaskCallback
from eigexp.training.data import TaskSteps

log = logging.getLogger(__name__)


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
        self.data = SweepData(plan.tasks, self.store)
        self.failed: list[str] = []

    def module(self) -> EigenModule:
        """A module for the plan's first task; any other will do."""
        settings = _settings(self.data.planned[0])
        return EigenModule(settings.pop("solver"), **settings)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """From here, a failing task ends itself only."""
        pl_module.on_failure = self._failed

    def on_task_end(self, trainer: Trainer, module: EigenModule) -> None:
        """Store the results, unless a ResultWriter does."""
        callbacks: list[Any] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        if any(isinstance(c, ResultWriter) for c in callbacks):
            return
        task = module.task
        assert task is not None
        curves = next((c.rows for c in callbacks if isinstance(c, EigenvalueCurves)), [[] for _ in task.ids])
        for i, pairs in enumerate(module.eigenpairs()):
            self._write(task, i, pairs, curves[i], module)
        module.tell("on_result_written")

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Later fits of the module raise again."""
        pl_module.on_failure = None

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Record an error that ends the fit with the task at work."""
        self.on_train_end(trainer, pl_module)
        if isinstance(exception, Exception) and pl_module.task is not None:
            self._failed(pl_module.task, exception)

    def _failed(self, task: Task, error: Exception) -> None:
        self.failed.append(task.ids[0])
        log.warning("%s %s failed: %s", task.model_name, ", ".join(task.names), record_error(self.store, task.ids[0], error))

    def _write(self, task: Task, i: int, pairs: EigenPairs, curves: list[dict[str, Any]], module: EigenModule) -> None:
        config = task.config or {}
        record = build_record(
            pairs,
            task.images[i],
            id=task.ids[i],
            identity=task.identities[i],
            model=task.model_name,
            layer=config["model"].get("layer"),
            seconds=module.seconds / len(task.ids),
            seed=module.seed,
            device=str(module.device),
            environment=environment(),
            linearise=getattr(module.operator, "way", None),
        )
        self.store.write(record, pairs, task.images[i], curves, config)


class SweepData(TaskData):
    """The tasks of a plan, built when their epoch begins; the network is kept while only the image changes.

    Args:
        planned: in order; of several devices each takes every so-manieth.
        store: what it holds is skipped.
    """

    def __init__(self, planned: Sequence[PlannedTask], store: Store):
        super().__init__(planned)  # pyright: ignore[reportArgumentType]
        self.planned, self.store = planned, store
        self._built = BuiltModel()
        self._cursor = 0

    def next_task(self) -> Task | None:
        """Build the next task that is not stored, and give the module its settings; None when the plan is empty."""
        assert self.trainer is not None
        module: Any = self.trainer.lightning_module
        while (planned := self._next()) is not None:
            self._cursor += 1
            freeze(self.store, [planned], {"launcher": "trainer"})
            settings = _settings(planned)
            module.use(settings.pop("solver"), **settings)
            return TaskList(planned.config, self._built).among(planned.ids)[0]
        return None

    def is_last(self, epoch: int) -> bool:
        """Nothing is left of this device's share."""
        return self._next() is None

    def train_dataloader(self) -> TaskSteps:
        """The steps of the current task."""
        return _SweepSteps(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the checkpoint's task.

        Raises:
            CheckpointError: if it is not of this plan, or done already.
        """
        ids = tuple(state_dict["ids"])
        for position, number in enumerate(self._mine):
            if ids == self.planned[number].ids:
                self._cursor = position
                return
        raise CheckpointError(f"The checkpoint belongs to the results {', '.join(ids)}, which this device has not in its plan. Delete it.")

    def _next(self) -> PlannedTask | None:
        while self._cursor < len(self._mine):
            planned = self.planned[self._mine[self._cursor]]
            if not all(self.store.has(id) for id in planned.ids):
                return planned
            self._cursor += 1
        return None


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
