"""Log eigenvalues, residuals and Fisher-vector products against the solver's step, to any Lightning logger."""

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger

from eigexp.errors import ConfigurationError
from eigexp.solvers.base import Progress
from eigexp.store.metric_names import row_metrics
from eigexp.training.callbacks.task import TaskCallback
from eigexp.training.loggers import ResultLogger
from eigexp.training.module import EigenModule


class EigenvalueCurves(TaskCallback):
    """Keeps one row per step and image, and sends rows to loggers in batches: 15 us per step, where `self.log` takes 300 us per value.

    Loggers get "top/1/eigenvalue", "bottom/1/residual", "solver/step" and "solver/fisher_vector_products", see
    `eigexp.store.metric_names`. With several images in a run, each key has the prefix "<image name>/". Rows are part of checkpoints, so
    curves are complete after a resume.

    Args:
        buffer: number of rows to collect before they are sent.
        every: loggers get every nth step, and the last. The store always gets all rows.
    """

    logs_curves = True  # so that the module leaves loggers to it

    def __init__(self, buffer: int = 50, every: int = 1):
        if buffer < 1 or every < 1:
            raise ConfigurationError(f"curves.buffer={buffer} and curves.every={every} must be at least 1.")
        self.buffer, self.every = buffer, every
        self._ids: list[str] = []
        self._rows: list[list[dict[str, Any]]] = []
        self._pending: list[tuple[int, dict[str, Any], int, bool]] = []

    @property
    def rows(self) -> list[list[dict[str, Any]]]:
        """For each image of the task, one row per step: step, fisher_vector_products, seconds, phase, eigenvalue/<i>, residual/<i>."""
        return self._rows

    def on_task_start(self, trainer: Trainer, module: EigenModule) -> None:
        """Start new rows, or continue those of the checkpoint; open the runs of loggers that have one per result."""
        assert module.task is not None
        resumed = self._ids == list(module.task.ids)
        if not resumed:
            self._ids, self._rows = list(module.task.ids), [[] for _ in module.task.ids]
        for logger in trainer.loggers:
            if isinstance(logger, ResultLogger):
                logger.begin(module.task, [rows[-1]["step"] if rows else 0 for rows in self._rows])
        if resumed:
            self._send_again(trainer, module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Add the step's rows, and send them when the buffer is full."""
        seconds, step = pl_module.seconds, trainer.global_step
        for i, p in enumerate(outputs["progress"]):
            rows = self._rows[i]
            if rows and rows[-1]["step"] == p.steps:
                continue  # this image was done before this step
            row = _row(p, seconds)
            rows.append(row)
            self._pending.append((i, row, step, p.done))
        if len(self._pending) >= self.buffer:
            self.flush(trainer, pl_module)

    def on_task_end(self, trainer: Trainer, module: EigenModule) -> None:
        """Send the remaining rows."""
        self.flush(trainer, module)

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Send the remaining rows."""
        self.flush(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Send the remaining rows."""
        self.flush(trainer, pl_module)

    def flush(self, trainer: Trainer, module: EigenModule) -> None:
        """Send the collected rows to every logger."""
        pending, self._pending = self._pending, []
        for logger in trainer.loggers if pending else ():
            self._send(logger, pending, module)

    def state_dict(self) -> dict[str, Any]:
        """Return the rows, as plain values."""
        return {"ids": self._ids, "rows": self._rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the rows of a checkpoint."""
        self._ids, self._rows = state_dict["ids"], state_dict["rows"]

    def _send(self, logger: Logger, pending: list[tuple[int, dict[str, Any], int, bool]], module: EigenModule) -> None:
        assert module.task is not None
        names, n = module.task.names, module.operator.shape.n
        for image, row, step, last in pending:
            if row["step"] % self.every and not last:
                continue
            if isinstance(logger, ResultLogger):
                if not (last or logger.wants(image, row["step"], row["seconds"])):
                    continue
                logger.log_image_metrics(image, row_metrics(row, n), row["step"])
            else:
                prefix = "" if len(names) == 1 else f"{names[image]}/"
                logger.log_metrics({prefix + key: value for key, value in row_metrics(row, n).items()}, step)

    def _send_again(self, trainer: Trainer, module: EigenModule) -> None:
        """Send the rows from before a resume to loggers that overwrite a run, such as CSV; the others have them."""
        old = [(i, row, row["step"], False) for i, rows in enumerate(self._rows) for row in rows]
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger) or (isinstance(logger, ResultLogger) and logger.overwrites):
                self._send(logger, old, module)


def _row(p: Progress, seconds: float) -> dict[str, Any]:
    row: dict[str, Any] = {"step": p.steps, "fisher_vector_products": p.fisher_vector_products, "seconds": seconds, "phase": p.phase}
    for index, value, residual in zip(p.eigenindex, p.eigenvalues, p.residuals, strict=True):
        row[f"eigenvalue/{index}"] = value
        row[f"residual/{index}"] = residual
    return row
