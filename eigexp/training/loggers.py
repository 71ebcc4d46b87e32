"""Loggers with one run per result. Lightning's own have one run per Trainer, but one fit solves many images."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger
from typing_extensions import override

from eigexp.errors import ConfigurationError, MissingDependencyError
from eigexp.store.labels import layer_label
from eigexp.store.metric_names import STEP, record_summary
from eigexp.training.task import Task

log = logging.getLogger(__name__)

_MLFLOW_ID = "eigexp.id"  # tag of the result's id
OpenRun = Callable[[Task, int], Logger]
Resume = Callable[[Any, int], int]


class ResultLogger(Logger):
    """Opens one run for each image of a task, named by its result id, and closes it when the next task begins.

    It is a Lightning logger: what is logged in Lightning's way goes to every open run. If a run cannot be opened or written to (a full
    disk, a server that does not answer), there is a warning and the log ends there; the result is not affected.

    Args:
        open_run: makes the logger of one image, given the task and the image's position in it.
        every: log every nth solver step.
        overwrites: whether a new run of the same id deletes what was logged before.
        curves_only: whether the numbers of a stored result are left out, which the store has.
        resume: continues an opened run after the step of the checkpoint (0 without one), and returns the last step that it will keep:
            steps up to that are not logged again. None for a logger that keeps nothing or resumes by itself.

    Attributes:
        problem: what it failed at in the current task; empty while it works.
    """

    def __init__(
        self, open_run: OpenRun, *, every: int = 1, overwrites: bool = False, curves_only: bool = False, resume: Resume | None = None
    ):
        super().__init__()
        if every < 1:
            raise ConfigurationError(f"every={every} of a logger must be a whole number of at least 1.")
        self.every, self.overwrites, self.curves_only = every, overwrites, curves_only
        self._open_run, self._resume = open_run, resume
        self.runs: list[Any] = []
        self._kept: list[int] = []
        self.problem = ""

    def begin(self, task: Task, steps: Sequence[int] = ()) -> None:
        """Close the runs of the last task and open those of this task.

        Args:
            task: that begins.
            steps: of the checkpoint from which it continues, for each image; empty without one.
        """
        self.close("success")
        self.problem, self._kept = "", []
        with self._guarded("opened"):
            for image in range(len(task.ids)):
                self.runs.append(self._open_run(task, image))
            given = steps or [0] * len(self.runs)
            self._kept = [self._resume(run, step) if self._resume else 0 for run, step in zip(self.runs, given, strict=True)]

    def close(self, status: str) -> None:
        """Close all runs."""
        runs, self.runs = self.runs, []
        for run in runs:
            with self._guarded("closed"):
                run.finalize(status)

    def wants(self, image: int, step: int, seconds: float) -> bool:
        """Return whether to log this step of an image, `seconds` after the task began. The last step is always logged."""
        return step % self.every == 0

    def log_image_metrics(self, image: int, metrics: Mapping[str, float], step: int) -> None:
        """Log metrics to the run of one image, unless it has this step already."""
        if self.runs and step > self._kept[image]:
            with self._guarded("written to"):
                self.runs[image].log_metrics(dict(metrics), step)

    def show_result(self, image: int, result: Mapping[str, Any]) -> None:
        """Call `log_result`, and continue if it fails."""
        with self._guarded("given the result"):
            self.log_result(image, result)

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
            with self._guarded("written to"):
                run.log_metrics(dict(metrics), step)

    @override
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the configuration is in the store, and in the runs of loggers that keep one."""

    @override
    def finalize(self, status: str) -> None:
        self.close(status)

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each logger has errors of its own
            self.runs = []
            self.problem = f"the logger {type(self).__name__} could not be {what} ({type(error).__name__}: {error})"
            log.warning("%s. The run continues without it.", self.problem)


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

    def resume(run: Any, step: int) -> int:
        run._kwargs["purge_step"] = step + 1  # its writer, made at the first use, lets readers forget what comes after the checkpoint
        return step

    need("tensorboard", "'eigexp[loggers]'", "tensorboard")
    return ResultLogger(open_run, every=every, resume=resume)


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

    uri = tracking_uri or f"sqlite:///{folder / 'mlflow.db'}"

    def open_run(task: Task, image: int) -> Logger:
        import mlflow  # its import sets up its logger
        from lightning.pytorch.loggers import MLFlowLogger

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it logs every table of a new database
        tags = {"model": task.model_name, "layer": layer_of(task, image), "image": task.names[image], _MLFLOW_ID: task.ids[image]}
        if not tracking_uri:
            folder.mkdir(parents=True, exist_ok=True)
        return MLFlowLogger(
            experiment_name=experiment,
            run_name=task.ids[image],
            tracking_uri=uri,
            artifact_location=None if tracking_uri else (folder / "artifacts").as_uri(),
            tags=tags,
            run_id=_earlier_run(mlflow.MlflowClient(uri), experiment, task.ids[image]),
        )

    def resume(run: Any, step: int) -> int:
        return int(run.experiment.get_run(run.run_id).data.metrics.get(STEP, 0))

    return ResultLogger(open_run, every=every, resume=resume)


def _earlier_run(client: Any, experiment: str, id: str) -> str | None:
    """Return MLflow's run of a result, running again; None where there is none yet."""
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id], f"tags.`{_MLFLOW_ID}` = '{id}'", max_results=1) if found else []
    if not runs:
        return None
    client.update_run(runs[0].info.run_id, status="RUNNING")
    return runs[0].info.run_id


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
