"""Fits of the tasks that are not stored: divided between processes, resumed from checkpoints."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ProgressBar

from eigexp.config.instantiate import located
from eigexp.errors import CheckpointError, ConfigurationError, EigexpError, ProcessError
from eigexp.experiment.parts import build, build_group
from eigexp.experiment.tasks import TaskList
from eigexp.experiment.writer import StoreWriter
from eigexp.solvers.base import Solver
from eigexp.store import Store
from eigexp.store.maintenance import CHECKPOINTS
from eigexp.store.secrets import frozen
from eigexp.training import AtomicCheckpointIO, EigenModule, TaskData
from eigexp.training.callbacks import Checkpoint, PreemptionGuard, ResultWriter
from eigexp.training.loggers import ResultLogger
from eigexp.training.processes import Processes, is_lost_connection, start_processes
from eigexp.training.task_state import read_entry
from eigexp.training.trainer import make_trainer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fitting:
    """Tasks to fit, with what and where to.

    Attributes:
        config: plain values.
        store: where results and checkpoints go.
        solver: of every task.
        tasks: what there is to do.
        processes: that work in step with this one; itself alone by default.
        rank: of this process among all.
    """

    config: Mapping[str, Any]
    store: Store
    solver: Solver
    tasks: TaskList
    processes: Processes = field(default_factory=Processes)
    rank: int = 0

    def share(self, on_ready: Callable[[], None] | None = None) -> tuple[list[str], int | None]:
        """Do this process's part of the work. Returns the ids that it is responsible for, and the signal that stopped it."""
        processes = Processes.detect(_devices(self.config["trainer"]))
        with start_processes(processes, {"config": frozen(self.config), "only": self.tasks.ids}) as others:
            if not self._in_step:
                part = self.tasks.share(processes.rank, processes.size)
                signum = replace(self, tasks=part, processes=Processes(local_rank=processes.local_rank), rank=processes.rank).fit_all()
                others.finish(signum)
                return (self.tasks if others else part).ids, signum
            if on_ready:
                on_ready()
            others.wait_until_ready()
            try:
                with processes.connected():
                    signum = replace(self, processes=processes.after_start(), rank=processes.rank).fit_all()
            except RuntimeError as error:
                if not is_lost_connection(error):
                    raise
                raise ProcessError(others.dead() or f"Process {processes.rank} has lost the connection to another process.") from error
            others.finish(None)  # they have got the signal
            return self.tasks.ids if processes.rank == 0 else [], signum

    def fit_all(self) -> int | None:
        """Fit what is not stored: each task with a checkpoint by itself, then the rest together. Returns the signal that stopped it."""
        if self.config.get("ckpt_path"):
            signum = self._resume_from(Path(self.config["ckpt_path"]))
            if signum is not None:
                return signum
        tasks = self._left()
        begun = self.processes.broadcast([i for i, id in enumerate(tasks.first_ids) if self._checkpoint(id).exists()])
        for i in begun:
            signum = replace(self, tasks=tasks.only(i)).resume()
            if signum is not None:
                return signum
        rest = self._left() if begun else tasks
        return replace(self, tasks=rest).fit() if len(rest) else None

    def resume(self) -> int | None:
        """Fit the one task from its checkpoint, or from the start if that cannot be used."""
        checkpoint = self._checkpoint(self.tasks.first_ids[0])
        try:
            return self.fit(checkpoint)
        except CheckpointError as error:
            aside = self.store.set_aside(checkpoint) if self.rank == 0 or not self._in_step else None
            log.warning("%s Starting this task again; the file is %s.", error, aside or "gone")
            return self.fit()

    def _resume_from(self, checkpoint: Path) -> int | None:
        """Fit the task of a checkpoint that the user named. Returns the signal that stopped it.

        Raises:
            CheckpointError: if it cannot be used, or none of the tasks that are left is its own.
        """
        ids = read_entry(AtomicCheckpointIO().load_checkpoint(checkpoint))["fingerprint"]["ids"]
        if all(self.store.has(id) for id in ids):
            return None
        tasks = self._left()
        position = next((i for i, batch in enumerate(tasks.batches) if [p.id for p in batch] == ids), None)
        if position is None:
            raise CheckpointError(
                f"ckpt_path={checkpoint} belongs to the results {', '.join(ids)}, which this run does not compute. "
                "Use the configuration that wrote it."
            )
        return replace(self, tasks=tasks.only(position)).fit(checkpoint)

    def fit(self, checkpoint: Path | None = None) -> int | None:
        """Fit the tasks in one call of a Trainer. Returns the signal that stopped it."""
        module = EigenModule(
            self.solver,
            linearise=self.config["linearise"],
            cuda_graph=self.config.get("cuda_graph", False),
            certify=self.config.get("certify", "float64"),
            noise=build(self.config["noise"], "noise"),
            subspace=build(self.config["subspace"], "subspace"),
            seed=self.config["seed"],
        )
        module.keep_results = False  # they are stored
        callbacks = self._callbacks(module)
        try:
            self._trainer(callbacks).fit(module, TaskData(self.tasks), ckpt_path=None if checkpoint is None else str(checkpoint))
        except (EigexpError, OSError, MemoryError):
            raise
        except MisconfigurationException as error:
            raise ConfigurationError(f"trainer: {' '.join(str(error).split())}") from error
        except Exception as error:
            if checkpoint is None or module.has_started:
                raise
            raise CheckpointError(f"The checkpoint {checkpoint} cannot be used ({type(error).__name__}: {error}).") from error
        guard = next((c for c in callbacks if isinstance(c, PreemptionGuard)), None)
        return guard.signum if guard else None

    @property
    def _in_step(self) -> bool:
        """Processes share an image's block rather than the images."""
        return self.config["trainer"].get("strategy") == "block"

    @property
    def _shards(self) -> bool:
        """The results of a task are stored together."""
        return bool(self.config.get("shards"))

    def _checkpoint(self, id: str) -> Path:
        """Return the file of the task with this first result."""
        return self.store.root / CHECKPOINTS / f"{id}.ckpt"

    def _left(self) -> TaskList:
        return self.tasks.without(self.processes.broadcast([id for id in self.tasks.ids if self.store.has(id)]))

    def _callbacks(self, module: EigenModule) -> list[Callback]:
        """Return the configured callbacks and the writer of results, which comes before a checkpoint deletes its file."""
        made = [c for c in build_group(self.config["callbacks"], "callbacks") if self.rank == 0 or not isinstance(c, ProgressBar)]
        checkpoints = [c for c in made if isinstance(c, Checkpoint)]
        return [*(c for c in made if c not in checkpoints), ResultWriter(StoreWriter(self.store, module, self._shards)), *checkpoints]

    def _trainer(self, callbacks: list[Callback]) -> Trainer:
        node, processes = self.config["trainer"], self.processes
        more = {"processes": processes} if processes.size > 1 or processes.local_rank or _devices(node) > 1 else {}
        loggers = build_group(self.config["logger"], "logger")
        if self._shards:  # a run of a logger for each of ten thousand images would undo what shards are for
            loggers = [logger for logger in loggers if not isinstance(logger, ResultLogger)]
            log.info("shards=true: no figures, and no loggers with one run for each result.")
        return build(node, "trainer", callbacks=callbacks, loggers=loggers, **more)


def _devices(trainer: Mapping[str, Any]) -> int:
    """Return the number of processes on each machine, if the work is divided here; another kind of Trainer divides it itself."""
    devices = trainer.get("devices", 1)
    target = trainer.get("_target_")
    return devices if isinstance(devices, int) and target and located(str(target), "trainer") is make_trainer else 1
