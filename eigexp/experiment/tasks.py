"""From a composed configuration to tasks: batches of images under one layer, and the id of each result."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from eigexp.errors import ConfigurationError, MissingDependencyError, nearest
from eigexp.experiment.identity import parts_of, result_identity
from eigexp.experiment.metric import group_of, metric_identity, metric_of
from eigexp.experiment.networks import one_layer
from eigexp.experiment.plan_cache import PlanCache
from eigexp.images import Image
from eigexp.models.layers import Layer
from eigexp.store import result_id
from eigexp.store.cross_table import table_id
from eigexp.store.labels import layer_label
from eigexp.training.task import Task

_DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class PlannedResult:
    """One image under one layer: its position and name in its source, and the id of its result."""

    index: int
    name: str
    id: str
    identity: dict[str, Any]
    shape: tuple[int, ...]
    layer: Layer = None


@dataclass(frozen=True)
class PlannedTable:
    """The cross table that the layers of one image will have."""

    ids: tuple[str, ...]

    @property
    def id(self) -> str:
        """Its id in the store."""
        return table_id(self.ids)


class TaskList(Sequence[Task]):
    """The tasks of one configuration: batches of images, and for each all layers, one after the other.

    Images are read when their task begins, so that few are in memory at once.

    Args:
        config: composed and resolved, as plain values.
        cache: for many lists of one process: what one has built and read serves the next.
    """

    def __init__(self, config: Mapping[str, Any], cache: PlanCache | None = None):
        cache = cache or PlanCache()
        self.config = dict(config)
        self.dtype = _dtype(config["dtype"])
        self.images, self.batch_size = cache.images(config["images"])
        self.network = cache.network(config["model"])
        self.others = cache.others(self.config)
        self.group = group_of(self.config, self.others)
        if self.others:
            self.batch_size = 1  # their matrices belong to one image
        _check_shards(self.config, self.batch_size)
        self.planned = list(self._plan())
        self.tables = self._tables()
        self._batches = _batched(self.planned, self.batch_size)

    def without(self, stored: Collection[str]) -> "TaskList":
        """Return the tasks that remain when these results are left out."""
        stored = set(stored)
        return self._with(_batches=_batched([p for p in self.planned if p.id not in stored], self.batch_size))

    def among(self, ids: Collection[str]) -> "TaskList":
        """Return the tasks of these results alone."""
        ids = set(ids)
        planned = [p for p in self.planned if p.id in ids]
        tables = [table for table in self.tables if not ids.isdisjoint(table.ids)]
        return self._with(planned=planned, tables=tables, _batches=_batched(planned, self.batch_size))

    def share(self, rank: int, size: int) -> "TaskList":
        """Return the tasks of one of `size` processes: every size-th task, starting at `rank`."""
        return self.among({p.id for batch in self._batches[rank::size] for p in batch})

    def only(self, position: int) -> "TaskList":
        """Return the list of one of its tasks."""
        return self._with(_batches=[self._batches[position]])

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers whose responses are analysed."""
        return self.network.layers.layers

    @property
    def batches(self) -> list[list[PlannedResult]]:
        """The images of each task, all under one layer."""
        return self._batches

    @property
    def ids(self) -> list[str]:
        """The id of every result of the configuration, in the images' order."""
        return [p.id for p in self.planned]

    @property
    def first_ids(self) -> list[str]:
        """The id that each task's checkpoint is called by."""
        return [batch[0].id for batch in self._batches]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, position: Any) -> Any:
        batch = self._batches[position]
        layer = batch[0].layer
        images = self.images.pixels_of([p.index for p in batch])
        more = f" (+{len(batch) - 1})" if len(batch) > 1 else ""
        return Task(
            images=tuple(Image(i.name, i.pixels.to(self.dtype), i.sha256, i.source) for i in images),
            model=self.network.layers.models[layer],
            ids=tuple(p.id for p in batch),
            identities=tuple(p.identity for p in batch),
            config=one_layer(self.config, layer),
            model_name=self.network.name,
            metric=metric_of(self.config, self.others),
            group=self.group,
            description=f"{batch[0].name}{more} {layer_label(layer)}" if len(self.layers) > 1 else "",
        )

    def _with(self, **changes: Any) -> "TaskList":
        """Return a list that shares model and images with this one."""
        other = object.__new__(TaskList)
        other.__dict__ = {**self.__dict__, **changes}
        return other

    def _plan(self) -> Iterator[PlannedResult]:
        parts, measure = parts_of(self.config, self.network.code), metric_identity(self.config, self.others)
        digests = self.network.digests
        of_layer = {layer: result_identity(self.config, layer, digests[layer], "", (), parts) | measure for layer in self.layers}
        for index, image in enumerate(self.images.facts):
            for layer, common in of_layer.items():
                identity = {**common, "image": image.sha256, "shape": image.shape}
                yield PlannedResult(index, image.name, result_id(identity), identity, image.shape, layer)

    def _tables(self) -> list[PlannedTable]:
        """Return one table for each image, where there are several layers; none for shards, because each table is a file of its own."""
        by_image: dict[int, list[str]] = {}
        for p in self.planned:
            by_image.setdefault(p.index, []).append(p.id)
        return [PlannedTable(tuple(ids)) for ids in by_image.values()] if len(self.layers) > 1 and not self.config.get("shards") else []


def _batched(planned: Sequence[PlannedResult], size: int) -> list[list[PlannedResult]]:
    """Return, under each layer, neighbours of one shape, up to `size` together; the layers of the same images follow each other."""
    by_layer: dict[Layer, list[list[PlannedResult]]] = {}
    for p in planned:
        batches = by_layer.setdefault(p.layer, [])
        if batches and len(batches[-1]) < size and batches[-1][0].shape == p.shape:
            batches[-1].append(p)
        else:
            batches.append([p])
    return sorted((batch for batches in by_layer.values() for batch in batches), key=lambda batch: batch[0].index)


def _check_shards(config: Mapping[str, Any], batch_size: int) -> None:
    """Refuse shards where they cannot be, before anything is computed."""
    if not config.get("shards"):
        return
    if batch_size == 1:
        raise ConfigurationError("shards=true stores each batch of images together, and a batch is 1 image. Set images.batch_size=256.")
    if "://" in str(config["store"]):
        raise ConfigurationError(f"shards=true needs a folder, and store={config['store']} is a bucket. Set store= to a folder.")
    if find_spec("pyarrow") is None:
        raise MissingDependencyError("shards=true needs pyarrow. Run: pip install 'eigexp[table]'")


def _dtype(name: Any) -> torch.dtype:
    if name not in _DTYPES:
        raise ConfigurationError(f"dtype={name} cannot be used. {nearest(str(name), _DTYPES)}")
    return _DTYPES[name]
