"""Write the certified results of each finished task to the store."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from lightning.pytorch import Trainer

from eigexp.pairs import EigenPairs
from eigexp.store import Store, build_record, environment
from eigexp.training.callbacks.curves import EigenvalueCurves
from eigexp.training.callbacks.task import TaskCallback
from eigexp.training.loggers import ResultLogger
from eigexp.training.module import EigenModule
from eigexp.training.task import Task

Curves = list[list[dict[str, Any]]]
Written = Sequence[Mapping[str, Any]] | None
WriteTask = Callable[[Task, list[EigenPairs], Curves, float], Written]


class TaskStore(Protocol):
    """An object that stores the results of a task."""

    def write_task(self, task: Task, eigenpairs: list[EigenPairs], curves: Curves, seconds: float) -> Written:
        """Store the results of a task; see ResultWriter."""
        ...


class ResultWriter(TaskCallback):
    """Writes the results of a finished task: its solver has finished (converged or out of budget), or Convergence has ended it.

    Args:
        store: a `Store`, which gets pairs, record, curves and configuration of each image; or has the method
            `write_task(task, eigenpairs, curves, seconds)`, or is such a function. `curves` are the rows of EigenvalueCurves for each image
            (empty without that callback). It may return a dict for each image, which loggers with one run per result show: "record",
            "figures" {name: path}, "pictures" {name: (pixels, caption)} and "files" [path]. Its method `note(id, text)`, if it has one,
            is told where a logger fails.
    """

    def __init__(self, store: Store | TaskStore | WriteTask):
        self._note = getattr(store, "note", None)
        self._store = store if isinstance(store, Store) else None
        self._write: WriteTask | None = None if isinstance(store, Store) else store if callable(store) else store.write_task

    def on_task_end(self, trainer: Trainer, module: EigenModule) -> None:
        """Certify, write, log, and notify the other callbacks. Of processes in lockstep only the first writes."""
        task = module.task
        assert task is not None
        if trainer.strategy.is_global_zero:
            self._write_task(trainer, module, task)
        module.notify("on_result_written")

    def _write_task(self, trainer: Trainer, module: EigenModule, task: Task) -> None:
        curves = next((c.rows for c in _callbacks(trainer) if isinstance(c, EigenvalueCurves)), [[] for _ in task.ids])
        if self._write is None:
            self._write_to_store(module, task, curves)
            return
        written = self._write(task, module.eigenpairs(), curves, module.seconds)
        for image, result in enumerate(written or ()):
            for logger in trainer.loggers:
                if isinstance(logger, ResultLogger) and not logger.problem:
                    logger.show_result(image, result)
                    if logger.problem and self._note:
                        self._note(task.ids[image], logger.problem)

    def _write_to_store(self, module: EigenModule, task: Task, curves: Curves) -> None:
        assert self._store is not None
        for i, pairs in enumerate(module.eigenpairs()):
            identity = task.identities[i] if task.identities else {}
            record = build_record(
                pairs,
                task.images[i],
                id=task.ids[i],
                identity=identity,
                model=task.model_name,
                layer=identity.get("layer"),
                seconds=module.seconds / len(task.ids),
                seed=module.settings.seed,
                device=str(module.device),
                environment=environment(),
                linearise=getattr(module.operator, "method", None),
            )
            self._store.write(record, pairs, task.images[i], curves[i], task.config)


def _callbacks(trainer: Trainer) -> list[Any]:
    return trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
