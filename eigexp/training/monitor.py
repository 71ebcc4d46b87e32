"""What a Trainer and Lightning's own callbacks are told of a task, step by step: metrics, loggers, and questions to EarlyStopping."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from eigexp.errors import ConfigurationError
from eigexp.pairs import EigenPairs
from eigexp.solvers.base import Progress
from eigexp.training.metrics import RESIDUAL, as_tensors, certified_metrics, of_all_images, step_metrics


class TaskMonitor:
    """Puts a task's numbers into `trainer.callback_metrics` after each step, and asks each EarlyStopping whether to end the task.

    It does not call `self.log`, which takes 270 us a value and step. Lightning asks EarlyStopping at the end of an epoch, when a solver is
    done anyway; here it is asked after each step, and ends the task instead of the fit, so that the next image has its turn.

    Args:
        trainer: of the fit.
        names: of the task's images.
        n: number of coordinates.
        resumed: the task continues from a checkpoint, and so do the counts of EarlyStopping.
    """

    def __init__(self, trainer: Trainer, names: Sequence[str], n: int, *, resumed: bool):
        self._names, self._n = names, n
        self._trainer, self._metrics, self._shown = trainer, trainer.callback_metrics, trainer.progress_bar_metrics
        self._known: dict[str, float] = {}
        callbacks: list[Any] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        self._stoppers = [c for c in callbacks if isinstance(c, EarlyStopping)]
        # EigenvalueCurves logs each step; without it, loggers get every nth, as Lightning's users expect.
        self._loggers = [] if any(getattr(c, "logs_curves", False) for c in callbacks) else trainer.loggers
        for stopper in self._stoppers:
            _prepare(stopper, resumed=resumed)

    def after_step(self, progress: Sequence[Progress]) -> str | None:
        """Publish the numbers of a step. Returns why EarlyStopping ends the task, None if the task continues."""
        rows = [step_metrics(p, self._n) for p in progress]
        self._publish(rows[0] if len(rows) == 1 else of_all_images(dict(zip(self._names, rows, strict=True))))
        step = self._trainer.global_step
        every: int = self._trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue]
        if self._loggers and (step % every == 0 or all(p.done for p in progress)):
            self._log(step)
        return self._stop_reason() if self._stoppers else None

    def certified(self, pairs: Sequence[EigenPairs]) -> None:
        """Publish the numbers of the certificate."""
        self._publish(of_all_images({name: certified_metrics(p) for name, p in zip(self._names, pairs, strict=True)}))

    def forget(self) -> None:
        """Withdraw the numbers of this task, because another begins."""
        for key in self._known:
            self._metrics.pop(key, None)
        self._shown.pop(RESIDUAL, None)

    def check_monitored(self) -> None:
        """Refuse an EarlyStopping whose metric a whole task did not have; Lightning would ignore it.

        Raises:
            ConfigurationError: naming the known metrics.
        """
        for stopper in self._stoppers:
            if stopper.strict and stopper.monitor not in self._metrics:
                known = ", ".join(self._metrics)
                raise ConfigurationError(f"EarlyStopping(monitor={stopper.monitor!r}): there is no such metric. Known: {known}.")

    def _publish(self, metrics: Mapping[str, float]) -> None:
        for key in self._known.keys() - metrics.keys():
            self._metrics.pop(key, None)  # no longer known
        self._metrics.update(as_tensors(metrics))
        if RESIDUAL in metrics:
            self._shown[RESIDUAL] = metrics[RESIDUAL]
        self._known = dict(metrics)

    def _log(self, step: int) -> None:
        for logger in self._loggers:
            logger.log_metrics(self._known, step)

    def _stop_reason(self) -> str | None:
        for stopper in self._stoppers:
            stopping = self._trainer.should_stop
            if stopper.monitor in self._metrics:
                stopper.on_validation_end(self._trainer, self._trainer.lightning_module)
            if self._trainer.should_stop and not stopping:
                self._trainer.should_stop = False
                return f"ended by EarlyStopping: {stopper.stopping_reason_message}"
        return None


def _prepare(stopper: EarlyStopping, *, resumed: bool) -> None:
    """Start the counts of a new task, and leave the end of the epoch to this module."""
    stopper._check_on_train_epoch_end = False  # its argument check_on_train_epoch_end: there it would end the fit
    if not resumed:
        stopper.wait_count = 0
        stopper.best_score = torch.tensor(torch.inf if stopper.mode == "min" else -torch.inf)


def monitor_of(module: LightningModule, names: Sequence[str], n: int, *, resumed: bool) -> TaskMonitor | None:
    """Return the monitor of a task that begins, None outside of a fit."""
    trainer = module._trainer
    return TaskMonitor(trainer, names, n, resumed=resumed) if trainer is not None and trainer.state.fn == "fit" else None
