"""Loggers with one run per result. Lightning's own have one run per Trainer, but one fit solves many images."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger
from typing_extensions import override

from eigexp.errors import MissingDependencyError
from eigexp.store.labels import layer_label
from eigexp.store.metric_names import record_summary
from eigexp.training.task import Task

OpenRun = Callable[[Task, int], Logger]


class ResultLogger(Logger):
    """Opens one run for each image of a task, named by its result id, and closes it when the next task begins.

    It is a Lightning logger: what is logged in Lightning's way goes to every open run.

    Args:
        open_run: makes the logger of one image, given the task and the image's position in it.
        every: log every nth solver step.
        overwrites: whether a new run of the same id deletes what was logged before.
        curves_only: whether the numbers of a stored result are left out, which the store has.
    """

    def __init__(self, open_run: OpenRun, *, every: int = 1, overwrites: bool = False, curves_only: bool = False):
        super().__init__()
        self.every, self.overwrites, self.curves_only = every, overwrites, curves_only
        self._open_run = open_run
        self.runs: list[Any] = []

    def begin(self, task: Task) -> None:
        """Close the runs of the last task and open those of this task."""
        self.close("success")
        self.runs = [self._open_run(task, image) for image in range(len(task.ids))]

    def close(self, status: str) -> None:
        """Close all runs."""
        runs, self.runs = self.runs, []
        for run in runs:
            run.finalize(status)

    def wants(self, image: int, step: int, seconds: float) -> bool:
        """Return whether to log this step of an image, `seconds` after the task began. The last step is always logged."""
        return step % self.every == 0

    def log_image_metrics(self, image: int, metrics: Mapping[str, float], step: int) -> None:
        """Log metrics to the run of one image."""
        if self.runs:
            self.runs[image].log_metrics(dict(metrics), step)

    def log_result(self, image: int, result: Mapping[str, Any]) -> None:
        """Add the numbers that runs are compared by, under the names of `eigexp.store.metric_names`; see ResultWriter for the content."""
        record = result.get("record") or {}
        if self.runs and record.get("eigenindex") and not self.curves_only:
            self.runs[image].log_metrics(record_summary(record), record.get("steps"))

    @property
    @override
    def name(self) -> str:
        return "eigexp"

    @property
    @override
    def version(self) -> str:
        return ""

    @override
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        for run in self.runs:
            run.log_metrics(dict(metrics), step)

    @override
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the configuration is in the store, and in the runs of loggers that keep one."""

    @override
    def finalize(self, status: str) -> None:
        self.close(status)


def csv(save_dir: str | Path = "outputs/logs", every: int = 1) -> ResultLogger:
    """Log curves to <save_dir>/<id>/metrics.csv."""

    def open_run(task: Task, image: int) -> Logger:
        (Path(save_dir) / task.ids[image] / "metrics.csv").unlink(missing_ok=True)
        return CSVLogger(save_dir, name=task.ids[image], version="")

    return ResultLogger(open_run, every=every, overwrites=True, curves_only=True)


def tensorboard(save_dir: str | Path = "outputs/tensorboard", every: int = 1) -> ResultLogger:
    """Log curves as TensorBoard scalars to <save_dir>/<id>."""

    def open_run(task: Task, image: int) -> Logger:
        from lightning.pytorch.loggers import TensorBoardLogger

        return TensorBoardLogger(save_dir, name=task.ids[image], version="", default_hp_metric=False)

    need("tensorboard", "'eigexp[loggers]'", "tensorboard")
    return ResultLogger(open_run, every=every)


def mlflow(
    save_dir: str | Path = "outputs/mlflow", experiment: str = "eigexp", tracking_uri: str | None = None, every: int = 10
) -> ResultLogger:
    """Log curves as MLflow metrics, one run per result, named by its id and tagged with model, layer and image.

    Args:
        save_dir: folder of the database mlflow.db and of artifacts, unless `tracking_uri` is given.
        experiment: MLflow experiment.
        tracking_uri: of a server or database; processes on several nodes need a server.
        every: log every nth solver step.

    Raises:
        MissingDependencyError: if mlflow, or a package that its database needs, is not installed.
    """
    for module in ("mlflow", *(() if tracking_uri else ("sqlalchemy", "alembic"))):
        need(module, "'eigexp[loggers]'", "mlflow")
    folder = Path(save_dir).absolute()

    def open_run(task: Task, image: int) -> Logger:
        import mlflow  # noqa: F401  # its import sets up its logger
        from lightning.pytorch.loggers import MLFlowLogger

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it logs every table of a new database
        tags = {"model": task.model_name, "layer": layer_of(task, image), "image": task.names[image]}
        if not tracking_uri:
            folder.mkdir(parents=True, exist_ok=True)
        return MLFlowLogger(
            experiment_name=experiment,
            run_name=task.ids[image],
            tracking_uri=tracking_uri or f"sqlite:///{folder / 'mlflow.db'}",
            artifact_location=None if tracking_uri else (folder / "artifacts").as_uri(),
            tags=tags,
        )

    return ResultLogger(open_run, every=every)


def layer_of(task: Task, image: int) -> str:
    """Return the label of the layer of an image's result."""
    return layer_label(task.identities[image].get("layer") if task.identities else None)


def need(module: str, package: str, logger: str) -> None:
    """Check that an optional package is installed.

    Args:
        module: name that is imported.
        package: name that pip installs.
        logger: name of the logger that needs it.

    Raises:
        MissingDependencyError: if it is not installed; the message gives the pip command.
    """
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise MissingDependencyError(f"logger={logger} needs the package {module}. Run: pip install {package}")
