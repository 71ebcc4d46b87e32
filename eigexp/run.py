"""One configuration, computed: composed values to objects, to one Trainer.fit, to stored results. The only place where everything meets."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from eigexp.construct import construct
from eigexp.errors import CheckpointError, ConfigurationError
from eigexp.pairs import EigenPairs
from eigexp.report import distortion_figure, figure_png
from eigexp.solvers.base import Solver
from eigexp.store import Store, arrays_of, build_record, environment
from eigexp.tasks import BuiltModel, TaskList
from eigexp.training import EigenModule, Task, TaskData
from eigexp.training.callbacks import Checkpoint, PreemptionGuard, ResultWriter

log = logging.getLogger(__name__)

CONVERGED, BUDGET = 0, 3


@dataclass(frozen=True)
class Outcome:
    """What a run left: each result's folder in the images' order, those that were there before, and the signal that stopped it, if any."""

    folders: tuple[Path, ...]
    reused: tuple[str, ...]
    statuses: tuple[str, ...]
    signum: int | None

    @property
    def exit_code(self) -> int:
        """0 converged, 3 stopped on budget, 128 + signal."""
        if self.signum is not None:
            return 128 + self.signum
        return CONVERGED if all(status == "converged" for status in self.statuses) else BUDGET


def run(config: DictConfig | Mapping[str, Any], *, only: Collection[str] | None = None, built: BuiltModel | None = None) -> Outcome:
    """Compute what the store does not hold of a configuration, resuming where a checkpoint lies.

    Args:
        config: as `compose` gives it.
        only: ids of results; what else the configuration describes is left alone. None for all.
        built: keeps the model for the next call with the same.

    Raises:
        EigexpError: if the configuration, an image, the model or the store cannot be used.
    """
    plain = _plain(config)
    store = Store(plain["store"])
    solver = _solver(plain)
    tasks = TaskList(plain, built)
    if only is not None:
        tasks = tasks.among(only)
    reused = [id for id in tasks.ids if store.has(id)]
    signum = None
    remaining = tasks.without(reused)
    if len(remaining):
        signum = _compute(plain, store, solver, remaining)
    ids = [id for id in tasks.ids if store.has(id)]
    statuses = tuple(store.read(id).record["status"] for id in ids)
    return Outcome(tuple(store.path(id) for id in ids), tuple(reused), statuses, signum)


def _compute(config: dict[str, Any], store: Store, solver: Solver, tasks: TaskList) -> int | None:
    """Fit the tasks; those with a checkpoint first, each in a fit of its own. Returns the signal that stopped it."""
    checkpoints = Path(config["store"]) / "checkpoints"
    begun = [i for i in range(len(tasks)) if (checkpoints / f"{tasks.first_ids[i]}.ckpt").exists()]
    for i in begun:
        signum = _resume(config, store, solver, tasks.only(i), checkpoints / f"{tasks.first_ids[i]}.ckpt")
        if signum is not None:
            return signum
    rest = tasks.without([id for id in tasks.ids if store.has(id)]) if begun else tasks
    return _fit(config, store, solver, rest, None) if len(rest) else None


def _resume(config: dict[str, Any], store: Store, solver: Solver, tasks: TaskList, checkpoint: Path) -> int | None:
    try:
        return _fit(config, store, solver, tasks, checkpoint)
    except CheckpointError as error:
        log.warning("%s Starting this task anew.", error)
        checkpoint.unlink(missing_ok=True)
        return _fit(config, store, solver, tasks, None)


def _fit(config: dict[str, Any], store: Store, solver: Solver, tasks: TaskList, checkpoint: Path | None) -> int | None:
    module = EigenModule(
        solver,
        linearise=config["linearise"],
        noise=construct(config["noise"], "noise"),
        subspace=construct(config["subspace"], "subspace"),
        seed=config["seed"],
    )
    callbacks = [construct(node, f"callbacks.{name}") for name, node in (config["callbacks"] or {}).items() if node]
    writer = ResultWriter(_Writer(store, config, tasks, module))
    callbacks = [*(c for c in callbacks if not isinstance(c, Checkpoint)), writer, *(c for c in callbacks if isinstance(c, Checkpoint))]
    loggers = [construct(node, f"logger.{name}") for name, node in (config["logger"] or {}).items() if node]
    trainer = construct(config["trainer"], "trainer", callbacks=callbacks, loggers=loggers)
    trainer.fit(module, TaskData(tasks), ckpt_path=None if checkpoint is None else str(checkpoint))
    guard = next((c for c in callbacks if isinstance(c, PreemptionGuard)), None)
    return guard.signum if guard else None


@dataclass(frozen=True)
class _Writer:
    """Stores each image of a finished task with its figure."""

    store: Store
    config: dict[str, Any]
    tasks: TaskList
    module: EigenModule

    def write_task(self, task: Task, eigenpairs: list[EigenPairs], curves: Sequence[list[dict[str, Any]]], seconds: float) -> list[Any]:
        """Returns the record and the figures of each image, for the loggers."""
        return [self._write(task, i, pairs, curves[i], seconds / len(task.ids)) for i, pairs in enumerate(eigenpairs)]

    def _write(self, task: Task, i: int, pairs: EigenPairs, curves: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
        image = task.images[i]
        record = build_record(
            pairs,
            image,
            id=task.ids[i],
            identity=task.identities[i],
            model=task.model_name,
            layer=self.tasks.layer,
            seconds=seconds,
            seed=self.config["seed"],
            device=str(self.module.device),
            environment=environment(),
            linearise=getattr(self.module.operator, "way", None),
        )
        figures = self._figures(arrays_of(pairs, image), record, curves)
        folder = self.store.write(record, pairs, image, curves, self.config, figures)
        return {"record": record, "figures": {name.removesuffix(".png"): folder / name for name in figures}}

    def _figures(self, arrays: Mapping[str, Any], record: Mapping[str, Any], curves: list[dict[str, Any]]) -> dict[str, bytes]:
        """The PNG files of a result. A figure that cannot be drawn costs a warning, never the numbers."""
        try:
            return {"distortions.png": figure_png(distortion_figure(arrays, record, curves, scale=self.config["figure"]["scale"]))}
        except Exception:
            log.warning("The figure of %s could not be drawn; its numbers are stored.", record["id"], exc_info=True)
            return {}


def _solver(config: Mapping[str, Any]) -> Solver:
    solver = construct(config["solver"], "solver")
    if not isinstance(solver, Solver):
        raise ConfigurationError(f"solver._target_={config['solver'].get('_target_')} is not a solver. Give a subclass of eigexp's Solver.")
    return solver


def _plain(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(config, DictConfig):
        return dict(config)
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "hydra"}
