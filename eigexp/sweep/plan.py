"""What a sweep consists of: tasks with the ids of their results, each with the configuration that makes it, frozen."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from eigexp.config.expand import configurations
from eigexp.config.instantiate import checked, construct, located
from eigexp.errors import ConfigurationError
from eigexp.experiment.tasks import BuiltModel, Planned, TaskList, one_layer
from eigexp.images import ImageFolder, ImageSource
from eigexp.models.layers import read_layers
from eigexp.store import Store
from eigexp.store.labels import layer_label
from eigexp.sweep.group import group_name, grouped


@dataclass(frozen=True)
class PlannedTask:
    """Images that are solved together, under one layer or several, and the configuration that does it.

    Attributes:
        ids: the id of each image's result, layer by layer; the first names the task.
        names: the images.
        model: the model's name, with its layers.
        config: plain values, narrowed to these images where their source allows.
        overrides: the words that led here.
        identity: what determined the first id.
        tables: ids of the tables of several layers against each other that it makes, one an image.
        parts: the same work as tasks of one layer each; empty where there is but one.
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
        """What determined the first id of each layer."""
        return [part.identity for part in self.parts] or [self.identity]

    @property
    def id(self) -> str:
        """The first result's id: frozen configuration, job and log of the task lie with it."""
        return self.ids[0]


@dataclass(frozen=True)
class Plan:
    """The tasks of a sweep, no result twice, the store that they fill, and what launches them (a node of the configuration)."""

    tasks: tuple[PlannedTask, ...]
    store: Store
    launcher: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[PlannedTask]:
        return iter(self.tasks)

    @property
    def ids(self) -> list[str]:
        """The ids of all results."""
        return [id for task in self.tasks for id in task.ids]


def make_plan(words: Sequence[str]) -> Plan:
    """Compose, check and number every task of a sweep; nothing is written.

    Identical results are planned once, those of several layers together rather than alone. Every model is built and every image read,
    since their content is part of the ids.

    Args:
        words: Hydra's overrides with choices.

    Raises:
        EigexpError: if a point of the sweep cannot be composed, or its model, image, solver or callback not made.
    """
    tasks: list[tuple[int, PlannedTask]] = []
    planned: set[str] = set()
    stores: dict[str, None] = {}
    launchers: dict[str, Mapping[str, Any]] = {}
    built, checks = BuiltModel(), Checks()
    for point, overrides, config in _most_layers_first(words):
        config = grouped(config, group_name(words))
        checks(config, overrides)
        stores[str(config["store"])] = None
        launchers[json.dumps(config["launcher"], sort_keys=True, default=str)] = config["launcher"]
        for task in _tasks(config, built, overrides, planned):
            planned.update(task.ids, task.tables)
            tasks.append((point, task))
    if len(stores) > 1 or len(launchers) > 1:
        what = "store" if len(stores) > 1 else "launcher"
        raise ConfigurationError(f"{what} takes several values in one sweep. Give one {what}, or a sweep for each.")
    in_order = tuple(task for _, task in sorted(tasks, key=lambda found: found[0]))
    return Plan(in_order, Store(next(iter(stores))), next(iter(launchers.values())))


class Checks:
    """Makes, once, whatever a configuration describes beside model and images, so that a wrong setting is known before a job starts."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, config: Mapping[str, Any], overrides: Sequence[str]) -> None:
        """Check a configuration.

        Raises:
            EigexpError: as it would in the job.
        """
        for path in ("solver", "noise", "subspace", "launcher"):
            self._once(config.get(path), path)
        for group in ("callbacks", "logger"):
            for name, node in (config.get(group) or {}).items():
                self._once(node, f"{group}.{name}")
        trainer = dict(config["trainer"])
        target = trainer.pop("_target_", None)
        if target:
            checked(located(str(target), "trainer"), trainer, "trainer")

    def _once(self, node: Any, path: str) -> None:
        key = path + json.dumps(node, sort_keys=True, default=str)
        if key not in self._seen:
            construct(node, path)
            self._seen.add(key)


def _most_layers_first(words: Sequence[str]) -> list[tuple[int, list[str], dict[str, Any]]]:
    """Every point of the sweep as number, overrides and plain values; those of one layer come after those that solve it beside others."""
    points = []
    for number, (overrides, composed) in enumerate(configurations(words)):
        config = OmegaConf.to_container(composed, resolve=True)
        assert isinstance(config, dict)
        points.append((number, overrides, {str(key): value for key, value in config.items() if key != "hydra"}))
    return sorted(points, key=lambda point: -len(read_layers(point[2]["model"].get("layer"))))


def _tasks(config: dict[str, Any], built: BuiltModel, overrides: Sequence[str], planned: set[str]) -> Iterator[PlannedTask]:
    whole = TaskList(config, built)
    seen = set(planned)
    tables = {id: table.id for table in whole.tables if table.id not in planned for id in table.ids}
    for batches in _by_images(whole.without(list(planned)).batches):
        parts = []
        for batch in batches:
            batch = [p for p in batch if p.id not in seen and not seen.add(p.id)]  # two names may be one image
            if batch:
                parts.append(_part(whole, batch, overrides))
        found = tuple(dict.fromkeys(tables[id] for part in parts for id in part.ids if id in tables))
        if len(parts) == 1 and not found:
            yield parts[0]
        elif parts:
            layers = ", ".join(layer_label(layer) for layer in whole.layers)
            yield PlannedTask(
                ids=tuple(id for part in parts for id in part.ids),
                names=parts[0].names,
                model=f"{whole.model_name} {layers}",
                config={**config, "images": parts[0].config["images"]},
                overrides=tuple(overrides),
                identity=parts[0].identity,
                tables=found,
                parts=tuple(parts),
            )


def _part(whole: TaskList, batch: Sequence[Planned], overrides: Sequence[str]) -> PlannedTask:
    layer = batch[0].layer
    return PlannedTask(
        ids=tuple(p.id for p in batch),
        names=tuple(p.name for p in batch),
        model=whole.model_name if layer is None else f"{whole.model_name} {layer_label(layer)}",
        config={**one_layer(whole.config, layer), "images": narrowed(whole.config["images"], whole.source, batch)},
        overrides=tuple(overrides),
        identity=batch[0].identity,
    )


def _by_images(batches: Sequence[list[Planned]]) -> list[list[list[Planned]]]:
    """The batches of the same images together."""
    groups: dict[tuple[int, ...], list[list[Planned]]] = {}
    for batch in batches:
        groups.setdefault(tuple(p.index for p in batch), []).append(batch)
    return list(groups.values())


def narrowed(node: Mapping[str, Any], source: ImageSource, batch: Sequence[Planned]) -> dict[str, Any]:
    """The images' node with these images alone, where their source can say so; else the whole, of which a worker takes its ids."""
    if "names" in node:
        return {**node, "names": [p.name for p in batch]}
    if isinstance(source, ImageFolder) and len(batch) == 1:
        name, path = source.files[batch[0].index]
        if Path(path).stem == name:
            rest = {key: value for key, value in node.items() if key not in ("path", "pattern", "_target_")}
            return {"_target_": "eigexp.images.sources.ImageFile", "path": str(path), **rest}
    return dict(node)
