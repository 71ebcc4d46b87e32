"""End a task before its solver has finished."""

import math
from typing import Any

from lightning.pytorch import Trainer

from eigexp.errors import ConfigurationError
from eigexp.solvers.base import Progress
from eigexp.training.callbacks.task import TaskCallback
from eigexp.training.module import EigenModule
from eigexp.training.strategy import largest
from eigexp.training.time_left import relative_residual


class Convergence(TaskCallback):
    """Ends a task at one of these limits, before the solver has finished.

    The current results are then final and get a note; their certificate says how accurate they are.

    Args:
        tol: end when the residuals of all images, relative to the largest eigenvalue, are at most this; None for no such limit.
        patience: end when in this number of steps no image's residual has fallen by 1 %; None for no such limit.
        max_seconds: end after this time, earlier parts of a resumed task included; None for no such limit. Results then depend on the
            speed of the machine.
    """

    def __init__(self, tol: float | None = None, patience: int | None = None, max_seconds: float | None = None):
        for name, value in {"tol": tol, "patience": patience, "max_seconds": max_seconds}.items():
            if value is not None and not value > 0:
                raise ConfigurationError(f"convergence.{name}={value} must be greater than 0. Give null for no limit.")
        self.tol, self.patience, self.max_seconds = tol, patience, max_seconds
        self._ids: list[str] = []
        self._best: list[float] = []
        self._waited = 0

    def on_task_start(self, trainer: Trainer, module: EigenModule) -> None:
        """Start counting, unless the task is resumed."""
        assert module.task is not None
        if self._ids != list(module.task.ids):
            self._ids, self._best, self._waited = list(module.task.ids), [math.inf] * len(module.task.ids), 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End the task if a limit is reached."""
        if pl_module.task_over:
            return
        reason = self._reason(outputs["progress"], pl_module, trainer)
        if reason is not None:
            pl_module.end_task(reason)

    def state_dict(self) -> dict[str, Any]:
        """Return the counts, as plain values."""
        return {"ids": self._ids, "best": self._best, "waited": self._waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the counts of a checkpoint."""
        self._ids, self._best, self._waited = state_dict["ids"], state_dict["best"], state_dict["waited"]

    def _reason(self, progress: list[Progress], module: EigenModule, trainer: Trainer) -> str | None:
        if self.max_seconds is not None and largest(trainer, module.seconds >= self.max_seconds):
            return f"ended by convergence.max_seconds={self.max_seconds:g}"
        if self.tol is None and self.patience is None:
            return None
        residuals = [relative_residual(p) for p in progress]
        if self.tol is not None and all(r <= self.tol for r in residuals):
            return f"ended by convergence.tol={self.tol:g}"
        if self.patience is not None and self._stalled(residuals):
            return f"ended by convergence.patience={self.patience}"
        return None

    def _stalled(self, residuals: list[float]) -> bool:
        fallen = any(r < 0.99 * best for r, best in zip(residuals, self._best, strict=True))
        self._best = [min(r, best) for r, best in zip(residuals, self._best, strict=True)]
        self._waited = 0 if fallen else self._waited + 1
        return self.patience is not None and self._waited >= self.patience
