"""One configuration, computed: composed values to objects, to one Trainer.fit, to stored results. The only place where everything meets."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ProgressBar
from omegaconf import DictConfig, OmegaConf

from eigexp.config.instantiate import construct
from eigexp.errors import CheckpointError, ConfigurationError
from eigexp.experiment.cross_table import complete_tables
from eigexp.experiment.tasks import BuiltModel, TaskList
from eigexp.experiment.writer import StoreWriter
from eigexp.solvers.base import Solver
from eigexp.store import Store
from eigexp.store.maintenance import set_aside, torn
from eigexp.training import EigenModule, TaskData
from eigexp.training.callbacks import Checkpoint, PreemptionGuard, ResultWriter
from eigexp.training.processes import Processes, start_processes

log = logging.getLogger(__name__)

CONVERGED, BUDGET = 0, 3
OUR_TRAINER = "eigexp.training.make_trainer"


@dataclass(frozen=True)
class Outcome:
    """What a run left.

    Attributes:
        folders: of each result, in the images' order, and for each image in the layers'.
        reused: ids of those that were there before.
        statuses: of each result.
        signum: the signal that stopped it, if any.
        tables: files of the tables of several layers against each other, one an image.
    """

    folders: tuple[Path, ...]
    reused: tuple[str, ...]
    statuses: tuple[str, ...]
    signum: int | None
    tables: tuple[Path, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 converged, 3 stopped on budget, 128 + signal."""
        if self.signum is not None:
            return 128 + self.signum
        return CONVERGED if all(status == "converged" for status in self.statuses) else BUDGET


def run(
    config: DictConfig | Mapping[str, Any],
    *,
    only: Collection[str] | None = None,
    built: BuiltModel | None = None,
    on_ready: Callable[[], None] | None = None,
) -> Outcome:
    """Compute what the store does not hold of a configuration, resuming where a checkpoint lies.

    With several devices this process starts the others, unless torchrun or srun has. They share out the images, or with
    `trainer.strategy=block` the block of each image.

    Args:
        config: as `compose` gives it.
        only: ids of results; what else the configuration describes is left alone. None for all.
        built: keeps the model for the next call with the same.
        on_ready: called when everything is prepared and the other processes are about to be met.

    Raises:
        EigexpError: if the configuration, an image, the model or the store cannot be used, or another process failed.
    """
    plain = _plain(config)
    store = Store(plain["store"])
    work = _Work(plain, store, _solver(plain), TaskList(plain, built) if only is None else TaskList(plain, built).among(only))
    reused = [id for id in work.tasks.ids if _sound(store, id)]
    if len(reused) < len(work.tasks.ids):
        mine, signum = _share(work, on_ready)
    else:
        mine, signum = work.tasks.ids, None
    ids = [id for id in mine if store.has(id)]
    statuses = tuple(store.read(id).record["status"] for id in ids)
    tables = complete_tables(work.tasks.among(mine), store) if signum is None else []
    return Outcome(tuple(store.path(id) for id in ids), tuple(reused), statuses, signum, tuple(tables))


def _sound(store: Store, id: str) -> bool:
    """Whether the result is there and is what was written; one that is not is set aside."""
    if not store.has(id):
        return False
    problem = torn(store.path(id))
    if problem:
        log.warning(
            "The result %s is not to be trusted (%s). Computing it again; the old is %s.", id, problem, set_aside(store, store.path(id))
        )
    return not problem


@dataclass(frozen=True)
class _Work:
    """What there is to do, and where it goes."""

    config: dict[str, Any]
    store: Store
    solver: Solver
    tasks: TaskList

    @property
    def block(self) -> bool:
        """Processes share an image's block rather than the images."""
        return self.config["trainer"].get("strategy") == "block"

    def checkpoint(self, id: str) -> Path:
        """Of the task with this first result."""
        return self.store.root / "checkpoints" / f"{id}.ckpt"


def _share(work: _Work, on_ready: Callable[[], None] | None) -> tuple[list[str], int | None]:
    """This process's part, beside the others'. Returns the ids that it answers for, and the signal that stopped it."""
    processes = Processes.detect(_devices(work.config["trainer"]))
    with start_processes(processes, {"config": work.config, "only": work.tasks.ids}) as others:
        if not work.block:
            part = work.tasks.share(processes.rank, processes.size)
            signum = _compute(replace(work, tasks=part), Processes(local_rank=processes.local_rank), rank=processes.rank)
            others.finish(signum)
            return (work.tasks if others else part).ids, signum
        if on_ready:
            on_ready()
        others.wait_until_ready()
        with processes.connected():
            signum = _compute(work, processes.after_start(), rank=processes.rank)
        others.finish(None)  # they have got the signal
        return work.tasks.ids if processes.rank == 0 else [], signum


def _compute(work: _Work, processes: Processes, rank: int) -> int | None:
    """Fit what is not stored; tasks with a checkpoint first, each in a fit of its own. Returns the signal that stopped it."""
    tasks = _left(work, processes)
    begun = processes.broadcast([i for i, id in enumerate(tasks.first_ids) if work.checkpoint(id).exists()])
    for i in begun:
        signum = _resume(replace(work, tasks=tasks.only(i)), processes, rank)
        if signum is not None:
            return signum
    rest = _left(work, processes) if begun else tasks
    return _fit(replace(work, tasks=rest), processes, rank, None) if len(rest) else None


def _left(work: _Work, processes: Processes) -> TaskList:
    return work.tasks.without(processes.broadcast([id for id in work.tasks.ids if work.store.has(id)]))


def _resume(work: _Work, processes: Processes, rank: int) -> int | None:
    checkpoint = work.checkpoint(work.tasks.first_ids[0])
    try:
        return _fit(work, processes, rank, checkpoint)
    except CheckpointError as error:
        aside = set_aside(work.store, checkpoint) if rank == 0 or not work.block else None
        log.warning("%s Starting this task anew; the file is %s.", error, aside or "gone")
        return _fit(work, processes, rank, None)


def _fit(work: _Work, processes: Processes, rank: int, checkpoint: Path | None) -> int | None:
    config = work.config
    module = EigenModule(
        work.solver,
        linearise=config["linearise"],
        noise=construct(config["noise"], "noise"),
        subspace=construct(config["subspace"], "subspace"),
        seed=config["seed"],
    )
    callbacks = [construct(node, f"callbacks.{name}") for name, node in (config["callbacks"] or {}).items() if node]
    callbacks = [c for c in callbacks if rank == 0 or not isinstance(c, ProgressBar)]
    writer = ResultWriter(StoreWriter(work.store, module))
    callbacks = [*(c for c in callbacks if not isinstance(c, Checkpoint)), writer, *(c for c in callbacks if isinstance(c, Checkpoint))]
    loggers = [construct(node, f"logger.{name}") for name, node in (config["logger"] or {}).items() if node]
    more = {"processes": processes} if processes.size > 1 or processes.local_rank or _devices(config["trainer"]) > 1 else {}
    trainer = construct(config["trainer"], "trainer", callbacks=callbacks, loggers=loggers, **more)
    trainer.fit(module, TaskData(work.tasks), ckpt_path=None if checkpoint is None else str(checkpoint))
    guard = next((c for c in callbacks if isinstance(c, PreemptionGuard)), None)
    return guard.signum if guard else None


def _devices(trainer: Mapping[str, Any]) -> int:
    """Processes on each machine, as far as they are ours to share work out to; a Trainer of another kind has its own ways."""
    devices = trainer.get("devices", 1)
    return devices if trainer.get("_target_") == OUR_TRAINER and isinstance(devices, int) else 1


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
