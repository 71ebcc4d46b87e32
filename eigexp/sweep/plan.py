"""Plan a sweep: its tasks, the ids of their results, and the configuration that computes each."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eigexp.config.compose import resolved
from eigexp.config.expand import check_count, configurations, max_tasks_of
from eigexp.config.failure import configuration_failures
from eigexp.config.instantiate import checked, located
from eigexp.config.shipped import is_shipped
from eigexp.errors import ConfigurationError
from eigexp.experiment.networks import one_layer
from eigexp.experiment.parts import build
from eigexp.experiment.plan_cache import PlanCache
from eigexp.experiment.tasks import PlannedResult, TaskList
from eigexp.models.layers import read_layers
from eigexp.store import Store
from eigexp.store.labels import layer_label
from eigexp.sweep.group import group_name, with_group
from eigexp.sweep.launcher import make_launcher


@dataclass(frozen=True)
class PlannedTask:
    """Images that are solved together, under one layer or several, with the configuration that computes them.

    Attributes:
        ids: of the results, layer by layer and image by image; the first one is the id of the task.
        names: of the images.
        model: name of the model, with its layers.
        config: plain values, with these images alone.
        overrides: of this point of the sweep.
        identity: what determines the first id.
        tables: ids of the cross tables that it makes, one per image; empty for one layer.
        parts: the same work as tasks of one layer each; empty for one layer.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    model: str
    config: dict[str, Any] = field(repr=False)
    overrides: tuple[str, ...] = ()
    identity: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tables: tuple[str, ...] = ()
    parts: tuple["PlannedTask", ...] = field(default=(), repr=False)

    @property
    def identities(self) -> list[Mapping[str, Any]]:
        """What determines the first id of each layer."""
        return [part.identity for part in self.parts] or [self.identity]

    @property
    def id(self) -> str:
        """The id of the first result; the task's files are in the folder of that result."""
        return self.ids[0]


@dataclass(frozen=True)
class Plan:
    """The tasks of a sweep without duplicate results, the store for them, and the node `launcher` of the configuration."""

    tasks: tuple[PlannedTask, ...]
    store: Store
    launcher: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[PlannedTask]:
        return iter(self.tasks)

    @property
    def ids(self) -> list[str]:
        """Ids of all results."""
        return [id for task in self.tasks for id in task.ids]


def make_plan(
    overrides: Sequence[str],
    on_task: Callable[[PlannedTask], None] | None = None,
    on_config: Callable[[Mapping[str, Any]], None] | None = None,
) -> Plan:
    """Return the plan of a sweep. Nothing is written.

    Each result is planned once, those of several layers in one task. Every model is built and every image read once, since their content
    determines the ids.

    Args:
        overrides: in Hydra's syntax, with choices: model=ln,lg.
        on_task: called with each task as it is planned.
        on_config: called with each configuration before its settings are checked, and its model is built and its images are read.

    Raises:
        EigexpError: if a point of the sweep cannot be composed, or its model, images, solver or callbacks cannot be constructed.
    """
    tasks: list[tuple[int, PlannedTask]] = []
    planned: set[str] = set()
    configs: list[dict[str, Any]] = []
    cache, check = PlanCache(), SettingsCheck()
    for number, point, config in _most_layers_first(overrides):
        with configuration_failures(point):
            if on_config:
                on_config(config)
            check(config)
            config = with_group(config, group_name(overrides))
            configs.append(config)
            for task in _tasks(config, cache, point, planned):
                planned.update(task.ids, task.tables)
                tasks.append((number, task))
                if on_task:
                    on_task(task)
                check_count(len(tasks), max_tasks_of(config))
    in_order = tuple(task for _, task in sorted(tasks, key=lambda found: found[0]))
    return Plan(in_order, Store(str(_only("store", configs))), _only("launcher", configs))


def _only(key: str, configs: Sequence[Mapping[str, Any]]) -> Any:
    """Return the one value that all configurations have for a key."""
    if any(config[key] != configs[0][key] for config in configs):
        raise ConfigurationError(f"{key} has several values in one sweep. Use one value of {key}, or one sweep for each value.")
    return configs[0][key]


class SettingsCheck:
    """Constructs what a configuration describes beside model and images, so that an invalid setting fails before a job starts."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, config: Mapping[str, Any]) -> None:
        """Check a configuration; equal parts are constructed once.

        Raises:
            EigexpError: the error that the job would end with.
        """
        for path in ("solver", "noise", "subspace"):
            self._once(config.get(path), path)
        make_launcher(config["launcher"])
        # What is as the package ships it is known to work. Constructing it would import Lightning, six times the start of all else here.
        for group in ("callbacks", "logger"):
            for name, node in (config.get(group) or {}).items():
                if not is_shipped(group, node, config):
                    self._once(node, f"{group}.{name}")
        trainer = dict(config["trainer"])
        shipped, target = is_shipped("trainer", trainer, config), trainer.pop("_target_", None)
        if target and not shipped:
            checked(located(str(target), "trainer"), trainer, "trainer")

    def _once(self, node: Any, path: str) -> None:
        key = path + json.dumps(node, sort_keys=True, default=str)
        if key not in self._seen:
            build(node, path)
            self._seen.add(key)


def _most_layers_first(overrides: Sequence[str]) -> list[tuple[int, list[str], dict[str, Any]]]:
    """Return each point of the sweep as number, overrides and plain values, those with most layers first."""
    # A layer that one point solves alone and another beside others is planned with the others: their cross table needs it.
    points = []
    for number, (point, composed) in enumerate(configurations(overrides)):
        points.append((number, point, resolved(composed)))
    return sorted(points, key=lambda point: -len(read_layers(point[2]["model"].get("layer"))))


def _tasks(config: dict[str, Any], cache: PlanCache, overrides: Sequence[str], planned: set[str]) -> Iterator[PlannedTask]:
    whole = TaskList(config, cache)
    seen = set(planned)
    tables = {id: table.id for table in whole.tables if table.id not in planned for id in table.ids}
    for batches in _grouped_by_images(whole.without(planned).batches):
        parts = []
        for batch in batches:
            batch = [p for p in batch if p.id not in seen and not seen.add(p.id)]  # two names may be the same image
            if batch:
                parts.append(_part(whole, batch, overrides))
        found = tuple(dict.fromkeys(tables[id] for part in parts for id in part.ids if id in tables))
        if parts:
            yield parts[0] if len(parts) == 1 and not found else _joined(parts, whole, found)


def _joined(parts: Sequence[PlannedTask], whole: TaskList, tables: tuple[str, ...]) -> PlannedTask:
    """Return one task of several layers."""
    return PlannedTask(
        ids=tuple(id for part in parts for id in part.ids),
        names=parts[0].names,
        model=f"{whole.network.name} {', '.join(layer_label(layer) for layer in whole.layers)}",
        config={**whole.config, "images": parts[0].config["images"]},
        overrides=parts[0].overrides,
        identity=parts[0].identity,
        tables=tables,
        parts=tuple(parts),
    )


def _part(whole: TaskList, batch: Sequence[PlannedResult], overrides: Sequence[str]) -> PlannedTask:
    layer = batch[0].layer
    return PlannedTask(
        ids=tuple(p.id for p in batch),
        names=tuple(p.name for p in batch),
        model=whole.network.name if layer is None else f"{whole.network.name} {layer_label(layer)}",
        config={**one_layer(whole.config, layer), "images": images_of_batch(whole.config["images"], batch)},
        overrides=tuple(overrides),
        identity=batch[0].identity,
    )


def _grouped_by_images(batches: Sequence[list[PlannedResult]]) -> list[list[list[PlannedResult]]]:
    """Return the batches in groups of the same images."""
    groups: dict[tuple[int, ...], list[list[PlannedResult]]] = {}
    for batch in batches:
        groups.setdefault(tuple(p.index for p in batch), []).append(batch)
    return list(groups.values())


def images_of_batch(node: Mapping[str, Any], batch: Sequence[PlannedResult]) -> dict[str, Any]:
    """Return the node `images` with the images of the batch alone, so that a worker reads no others."""
    return {**node, "subset": [p.name for p in batch]}
