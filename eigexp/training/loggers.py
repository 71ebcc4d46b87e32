"""Loggers with one run a result: Lightning's own take one run a Trainer, but a fit goes through many images."""

from collections.abc import Callable, Mapping
from os import environ
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger
from typing_extensions import override

from eigexp.errors import ConfigurationError, MissingDependencyError, nearest
from eigexp.training.data import Task

OpenRun = Callable[[Task, int], Logger]


class ResultLogger(Logger):
    """Opens one run for each image of a task, named by its result id, and closes it when the next task begins.

    It is a Lightning logger, so what is logged the usual way goes to every open run.

    Args:
        open_run: makes the logger of one image, given the task and the image's number in it.
        every: how many solver steps apart it sees curves.
        starts_anew: whether a run of the same id forgets what was logged before.
    """

    def __init__(self, open_run: OpenRun, *, every: int = 1, starts_anew: bool = False):
        super().__init__()
        self.every, self.starts_anew = every, starts_anew
        self._open_run = open_run
        self.runs: list[Any] = []

    def begin(self, task: Task) -> None:
        """Close the runs of the last task and open this one's."""
        self.close("success")
        self.runs = [self._open_run(task, image) for image in range(len(task.ids))]

    def close(self, status: str) -> None:
        """Close all runs."""
        runs, self.runs = self.runs, []
        for run in runs:
            run.finalize(status)

    def log_image_metrics(self, image: int, metrics: Mapping[str, float], step: int) -> None:
        """Log to the run of one image."""
        if self.runs:
            self.runs[image].log_metrics(dict(metrics), step)

    def log_result(self, image: int, record: Mapping[str, Any], figures: Mapping[str, str | Path]) -> None:
        """Show a stored result in the image's run, where the logger can."""

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
        """The configuration is in the store, and in runs that keep one."""

    @override
    def finalize(self, status: str) -> None:
        self.close(status)


def csv(save_dir: str | Path = "outputs/logs", every: int = 1) -> ResultLogger:
    """Curves as <save_dir>/<id>/metrics.csv."""

    def open_run(task: Task, image: int) -> Logger:
        (Path(save_dir) / task.ids[image] / "metrics.csv").unlink(missing_ok=True)
        return CSVLogger(save_dir, name=task.ids[image], version="")

    return ResultLogger(open_run, every=every, starts_anew=True)


def tensorboard(save_dir: str | Path = "outputs/tensorboard", every: int = 1) -> ResultLogger:
    """Curves as TensorBoard scalars in <save_dir>/<id>."""

    def open_run(task: Task, image: int) -> Logger:
        from lightning.pytorch.loggers import TensorBoardLogger

        return TensorBoardLogger(save_dir, name=task.ids[image], version="", default_hp_metric=False)

    _need("tensorboard", "tensorboard")
    return ResultLogger(open_run, every=every)


def mlflow(
    save_dir: str | Path = "outputs/mlruns", experiment: str = "eigexp", tracking_uri: str | None = None, every: int = 10
) -> ResultLogger:
    """Curves as MLflow metrics, one run a result, named by its id."""

    def open_run(task: Task, image: int) -> Logger:
        from lightning.pytorch.loggers import MLFlowLogger

        uri = tracking_uri or f"file:{Path(save_dir).absolute()}"
        return MLFlowLogger(experiment_name=experiment, run_name=task.ids[image], tracking_uri=uri)

    _need("mlflow", "mlflow")
    return ResultLogger(open_run, every=every)


class WandbRuns(ResultLogger):
    """One Weights & Biases run a result, its id the result's, resumed if it is there; a mirror of the store, never the record.

    Args:
        project: W&B project.
        mode: online, offline (files under <save_dir>/wandb, for `wandb sync`) or disabled; None takes $WANDB_MODE, else offline.
        save_dir: where W&B keeps its files.
        every: how many solver steps apart it sees curves.
        entity: W&B user or team.
        group: joins runs, such as those of a sweep.
        tags: of each run.
        init_timeout: seconds to wait for the network in online mode.
    """

    def __init__(
        self,
        project: str = "eigexp",
        mode: str | None = "offline",
        save_dir: str | Path = "outputs",
        every: int = 10,
        entity: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        init_timeout: float = 30.0,
    ):
        self.mode = mode or environ.get("WANDB_MODE") or "offline"
        if self.mode not in ("online", "offline", "disabled"):
            raise ConfigurationError(
                f"logger.wandb.mode={self.mode} is not a mode. {nearest(self.mode, ['online', 'offline', 'disabled'])}"
            )
        if self.mode != "disabled":
            _need("wandb", "wandb")
        super().__init__(self._init, every=every)
        self._save_dir = Path(save_dir)
        self._settings = {"project": project, "entity": entity, "group": group, "tags": list(tags or ())}
        self._init_timeout = init_timeout

    @property
    @override
    def save_dir(self) -> str:
        return str(self._save_dir)

    @override
    def begin(self, task: Task) -> None:
        if self.mode != "disabled":
            super().begin(task)

    @override
    def log_result(self, image: int, record: Mapping[str, Any], figures: Mapping[str, str | Path]) -> None:
        """The record becomes the run's summary, the figures its images."""
        if self.runs:
            self.runs[image].log_result(record, figures)

    def _init(self, task: Task, image: int) -> Any:
        import wandb

        self._save_dir.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            id=task.ids[image],
            name=f"{task.model_name} {task.names[image]}",
            config=task.config,
            mode=self.mode,  # pyright: ignore[reportArgumentType]
            dir=self._save_dir,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                silent=True, console="off", init_timeout=self._init_timeout, x_disable_stats=True, x_transaction_log_flush_interval=1.0
            ),
            **self._settings,
        )
        for key in ("eigenvalue/*", "residual/*"):
            run.define_metric(key, step_metric="solver/step")
        run.define_metric("solver/fisher_vector_products", step_metric="solver/step")
        return _WandbRun(run)


class _WandbRun:
    """A W&B run with the few methods of a logger that are used."""

    def __init__(self, run: Any):
        self._run = run

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._run.log(metrics)  # its own step is no use: a resumed run may go back, so solver/step is the axis

    def log_result(self, record: Mapping[str, Any], figures: Mapping[str, str | Path]) -> None:
        import wandb

        if figures:
            self._run.log({f"figure/{name}": wandb.Image(str(path)) for name, path in figures.items()})
        self._run.summary.update(dict(record))

    def finalize(self, status: str) -> None:
        self._run.finish(exit_code=0 if status == "success" else 1)


def _need(module: str, package: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise MissingDependencyError(f"logger={module} needs the package {package}. Run: pip install {package}")
