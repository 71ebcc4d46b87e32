"""Compute one configuration: from composed values to objects, to one Trainer.fit, to stored results."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from eigexp.config.compose import resolved
from eigexp.config.failure import configuration_failures
from eigexp.experiment.cross_table import complete_tables
from eigexp.experiment.parts import build
from eigexp.experiment.plan_cache import PlanCache
from eigexp.experiment.response import response_digests, same_response
from eigexp.experiment.tasks import PlannedResult, TaskList
from eigexp.store import Store
from eigexp.store.maintenance import problem_of, remove_spent_checkpoints
from eigexp.store.shard import Shard
from eigexp.system.imports import without_collections
from eigexp.training.light_import import import_lightning

log = logging.getLogger(__name__)

CONVERGED, BUDGET = 0, 3
# What ends a fit before its solvers do, and the value that does not.
_LIMITS = {"max_steps": -1, "max_epochs": -1, "max_time": None, "limit_train_batches": None, "overfit_batches": 0.0, "fast_dev_run": False}


@dataclass(frozen=True)
class RunOutcome:
    """The outcome of a run.

    Attributes:
        folders: of each result that has one, in the images' order, and for each image in the layers'.
        reused: ids of those that were stored before.
        statuses: of each result, those in shards too.
        signum: the signal that stopped it, if any.
        tables: files of the cross tables, one for each image of several layers.
        unfinished: ids of results that were not computed, though no signal came.
        reason: why, for people; empty if nothing is unfinished.
        shards: files of the shards that have results.
    """

    folders: tuple[Path, ...]
    reused: tuple[str, ...]
    statuses: tuple[str, ...]
    signum: int | None
    tables: tuple[Path, ...] = ()
    unfinished: tuple[str, ...] = ()
    reason: str = ""
    shards: tuple[Path, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 converged, 3 tolerance not met or not computed, 128 + signal."""
        if self.signum is not None:
            return 128 + self.signum
        met = not self.unfinished and all(status == "converged" for status in self.statuses)
        return CONVERGED if met else BUDGET


def run(
    config: DictConfig | Mapping[str, Any],
    *,
    only: Collection[str] | None = None,
    cache: PlanCache | None = None,
    on_ready: Callable[[], None] | None = None,
) -> RunOutcome:
    """Compute the results of a configuration that are not stored, and resume those that have a checkpoint.

    With several devices this process starts the others, unless torchrun or srun has started them. They divide the images, or with
    `trainer.strategy=block` the block of each image, between them.

    Args:
        config: as `compose` gives it.
        only: ids of the results to compute; None for all that the configuration describes.
        cache: keeps the model for the next call with the same.
        on_ready: called when everything is prepared and the other processes are about to be met.

    Raises:
        EigexpError: if the configuration, an image, the model or the store cannot be used, or another process failed.
    """
    with configuration_failures():
        plain = plain_config(config)
        store, solver = Store(plain["store"]), build(plain["solver"], "solver")
        plain = _with_local_paths(plain, store)
        tasks = TaskList(plain, cache)
    if only is not None:
        tasks = tasks.among(only)
    reused = _reused(store, tasks)
    stored = set(reused)
    remove_spent_checkpoints(store, [batch[0].id for batch in tasks.batches if all(planned.id in stored for planned in batch)])
    mine, signum = tasks.ids, None
    if len(reused) < len(tasks.ids):
        import_lightning()  # which nothing else here needs
        with without_collections():
            from eigexp.experiment.fitting import Fitting

        mine, signum = Fitting(plain, store, solver, tasks).share(on_ready)
    return _outcome(plain, store, tasks.among(mine), reused, signum)


def plain_config(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as plain values, without Hydra's own node."""
    if not isinstance(config, DictConfig):
        return dict(config)
    return resolved(config)


def _with_local_paths(config: dict[str, Any], store: Store) -> dict[str, Any]:
    """Return the configuration with checkpoints in the folder of this machine, where the store is a URL."""
    url, folder = store.location.rstrip("/"), str(store.root)
    if url == folder:
        return config
    callbacks = {name: dict(node or {}) for name, node in (config.get("callbacks") or {}).items()}
    for node in callbacks.values():
        node |= {key: value.replace(url, folder, 1) for key, value in node.items() if str(value).startswith(url)}
    return {**config, "callbacks": callbacks}


def _outcome(config: Mapping[str, Any], store: Store, tasks: TaskList, reused: list[str], signum: int | None) -> RunOutcome:
    stored = [id for id in tasks.ids if store.has(id)]
    shards = {id: shard for id in stored if (shard := store.shard_of(id))}
    unfinished = [id for id in tasks.ids if not store.has(id)] if signum is None else []
    reason = _stop_reason(config["trainer"], len(unfinished), len(tasks.ids)) if unfinished else ""
    if reason:
        log.warning("%s", reason)
    return RunOutcome(
        folders=tuple(store.path(id) for id in stored if id not in shards),
        shards=tuple(dict.fromkeys(shard.path for shard in shards.values())),
        reused=tuple(reused),
        statuses=tuple(_statuses(store, stored, shards)),
        signum=signum,
        tables=tuple(complete_tables(tasks, store)) if signum is None else (),
        unfinished=tuple(unfinished),
        reason=reason,
    )


def _statuses(store: Store, ids: Sequence[str], shards: Mapping[str, Shard]) -> Iterator[str]:
    shown = {shard: shard.shown("status") for shard in set(shards.values())}  # they were written or checked by this run
    for id in ids:
        yield shown[shards[id]][id] if id in shards else store.read(id).record["status"]


def _stop_reason(trainer: Mapping[str, Any], unfinished: int, asked: int) -> str:
    limits = [f"trainer.{key}={trainer[key]}" for key, free in _LIMITS.items() if trainer.get(key, free) not in (free, None)]
    cause = f"{' and '.join(limits)} ended the fit" if limits else "the Trainer ended the fit"
    hint = f"Remove {' and '.join(limits)}" if limits else "Check your callbacks"
    return f"{unfinished} of {asked} results were not computed: {cause} before the solver finished. {hint}, and run the command again."


def _reused(store: Store, tasks: TaskList) -> list[str]:
    """Return the ids of results that are there, whole, and of the model as it is now; others are set aside."""
    reused, agreed = [], set()
    _set_bad_shards_aside(store, tasks)
    for planned in tasks.planned:
        if not store.has(planned.id):
            continue
        problem = "" if store.shard_of(planned.id) else problem_of(store.path(planned.id))
        if not problem and planned.layer not in agreed:  # one image that agrees speaks for its layer: another costs a pass of the network
            problem = _other_response(store, tasks, planned)
            agreed |= set() if problem else {planned.layer}
        if problem:
            aside = store.set_result_aside(planned.id)
            log.warning("The result %s failed verification (%s); recomputing. The old files are in %s.", planned.id, problem, aside)
        else:
            reused.append(planned.id)
    return reused


def _set_bad_shards_aside(store: Store, tasks: TaskList) -> None:
    """Check the shards that have results of these tasks: one bad result is reason enough to compute all of its shard again."""
    checked: set[Shard] = set()
    while fresh := {shard for id in tasks.ids if (shard := store.shard_of(id))} - checked:  # under a bad one there may be another
        for shard in fresh:
            if problem := shard.problem():
                aside = store.set_shard_aside(shard)
                log.warning("The shard %s failed verification (%s); recomputing. The old files are in %s.", shard.path.stem, problem, aside)
        checked |= fresh


def _other_response(store: Store, tasks: TaskList, planned: PlannedResult) -> str:
    stored = store.read(planned.id).record.get("response")
    if not stored:
        return ""
    (now,) = response_digests(tasks.network.layers.models[planned.layer], tasks.images.pixels_of([planned.index]))
    if same_response(stored, now):
        return ""
    return "the model now responds differently to its image than when it was computed"
