"""From a composed configuration to tasks: the model by layer, the images in batches, and each result's id."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from eigexp.config.instantiate import construct
from eigexp.errors import ConfigurationError, ModelError, nearest
from eigexp.images import Image, ImageSource
from eigexp.models import layer_shapes, weights_digest
from eigexp.models.layers import Layer, NetworkLayers, read_layers, write_layer
from eigexp.store import result_id
from eigexp.store.cross_table import table_id
from eigexp.store.labels import layer_label
from eigexp.store.record import canonical_json
from eigexp.training import Task

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_IDENTITY_FORMAT = 1
_OWN_MODEL_KEYS = ("name", "layer", "weights")


@dataclass(frozen=True)
class Planned:
    """One image under one layer: which it is in its source, and the id of its result."""

    index: int
    name: str
    id: str
    identity: dict[str, Any]
    shape: tuple[int, ...]
    layer: Layer = None


@dataclass(frozen=True)
class PlannedTable:
    """The table of several layers against each other that one image will have."""

    ids: tuple[str, ...]

    @property
    def id(self) -> str:
        """As the store calls it."""
        return table_id(self.ids)


class TaskList(Sequence[Task]):
    """The tasks of one configuration: batches of images, and for each all layers, one after the other.

    Images are read again when their task begins, so that few are in memory at once.

    Args:
        config: composed and resolved, as plain values.
        built: keeps the model from one list to the next that has the same; for many lists of one process.
    """

    def __init__(self, config: Mapping[str, Any], built: "BuiltModel | None" = None):
        self.config = dict(config)
        self.dtype = _dtype(config["dtype"])
        images = dict(config["images"])
        self.batch_size = _batch_size(images.pop("batch_size", 1))
        self.source: ImageSource = construct(images, "images")
        built = built or BuiltModel()
        self.model_name, self.network, self._digests = built.get(config["model"])
        self.layers = self.network.layers
        self._read = _LastRead(self.source)
        self.planned = list(self._plan())
        self.tables = self._tables()
        self._batches = _batched(self.planned, self.batch_size)

    def without(self, stored: Sequence[str]) -> "TaskList":
        """The tasks that remain when the results named are left out. Shares model and images with this list."""
        rest = object.__new__(TaskList)
        rest.__dict__ = {**self.__dict__, "_batches": _batched([p for p in self.planned if p.id not in set(stored)], self.batch_size)}
        return rest

    def among(self, ids: Collection[str]) -> "TaskList":
        """The tasks of these results alone. Shares model and images with this list."""
        rest = object.__new__(TaskList)
        planned = [p for p in self.planned if p.id in ids]
        tables = [table for table in self.tables if not set(ids).isdisjoint(table.ids)]
        rest.__dict__ = {**self.__dict__, "planned": planned, "tables": tables, "_batches": _batched(planned, self.batch_size)}
        return rest

    def share(self, rank: int, size: int) -> "TaskList":
        """Every `size`-th task from number `rank` on: of `size` processes each has its own. Shares model and images with this list."""
        return self.among({p.id for batch in self._batches[rank::size] for p in batch})

    @property
    def batches(self) -> "list[list[Planned]]":
        """The images of each task, all under one layer."""
        return self._batches

    def only(self, position: int) -> "TaskList":
        """The list of one of its tasks."""
        one = object.__new__(TaskList)
        one.__dict__ = {**self.__dict__, "_batches": [self._batches[position]]}
        return one

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
        images = self._read([p.index for p in batch])
        more = f" (+{len(batch) - 1})" if len(batch) > 1 else ""
        return Task(
            images=tuple(Image(i.name, i.pixels.to(self.dtype), i.sha256, i.source) for i in images),
            model=self.network.models[layer],
            ids=tuple(p.id for p in batch),
            identities=tuple(p.identity for p in batch),
            config=one_layer(self.config, layer),
            model_name=self.model_name,
            description=f"{batch[0].name}{more} {layer_label(layer)}" if len(self.layers) > 1 else "",
        )

    def _plan(self) -> Iterator[Planned]:
        common = {layer: _identity(self.config, layer, self._digests[layer]) for layer in self.layers}
        for index, name in enumerate(self.source.names()):
            image = self.source[index]
            for layer in self.layers:
                identity = {**common[layer], "image": image.sha256}
                yield Planned(index, name, result_id(identity), identity, tuple(image.pixels.shape), layer)

    def _tables(self) -> list[PlannedTable]:
        """One an image, where there are several layers."""
        by_image: dict[int, list[str]] = {}
        for p in self.planned:
            by_image.setdefault(p.index, []).append(p.id)
        return [PlannedTable(tuple(ids)) for ids in by_image.values()] if len(self.layers) > 1 else []


class _LastRead:
    """Reads images, and keeps those of the last call: the next layer wants the same."""

    def __init__(self, source: ImageSource):
        self._source = source
        self._kept: dict[int, Image] = {}

    def __call__(self, indices: Sequence[int]) -> list[Image]:
        self._kept = {i: self._kept[i] if i in self._kept else self._source[i] for i in indices}
        return [self._kept[i] for i in indices]


class BuiltModel:
    """The last network that was built, with the digest of each layer's weights: asked for again, it is there; for another, it is freed."""

    def __init__(self) -> None:
        self._node: str | None = None
        self._built: tuple[str, NetworkLayers, dict[Layer, str]] | None = None

    def get(self, node: Mapping[str, Any]) -> tuple[str, NetworkLayers, dict[Layer, str]]:
        """As `build_model`, and by layer the digest of the weights that it depends on."""
        key = canonical_json(node)
        if self._built is None or key != self._node:
            self._built = None
            name, network = build_model(node)
            self._built = name, network, {layer: weights_digest(model) for layer, model in network.models.items()}
            self._node = key
        return self._built


def build_model(node: Mapping[str, Any]) -> tuple[str, NetworkLayers]:
    """The name and the network of a configuration's `model` node, prepared at each of its layers.

    Raises:
        ConfigurationError: if the node does not describe a model.
        ModelError: if the weights or a layer do not fit.
    """
    settings = dict(node)
    name, layer, weights = (settings.pop(key, None) for key in _OWN_MODEL_KEYS)
    module = construct(settings, "model")
    if not isinstance(module, nn.Module):
        raise ConfigurationError(f"model._target_={settings.get('_target_')} makes a {type(module).__name__}, not a torch.nn.Module.")
    return _model_name(name, str(settings["_target_"])), NetworkLayers(module, read_layers(layer), weights)


def one_layer(config: Mapping[str, Any], layer: Layer) -> dict[str, Any]:
    """The configuration of one of its layers alone."""
    return {**config, "model": {**config["model"], "layer": write_layer(layer)}}


def _model_name(name: str | None, target: str) -> str:
    """The configured name, but a model of the user's own is not called by the name of the option that it was put into."""
    if target.startswith("eigexp.") or not name:
        return name or target.rpartition(".")[2]
    return target.rpartition(".")[2] if name in ("ln", "lg", "lgg", "onoff") else name


def _identity(config: Mapping[str, Any], layer: Layer, weights: str) -> dict[str, Any]:
    """What determines the numbers of a result, but for the image: not paths, devices, loggers or the trainer."""
    model = {key: value for key, value in config["model"].items() if key not in _OWN_MODEL_KEYS}
    return {
        "format": _IDENTITY_FORMAT,
        "model": model,
        "layer": layer,
        "weights": weights,
        "transforms": {key: config["images"].get(key) for key in ("size", "grey")},
        "noise": _by_content(config["noise"]),
        "subspace": _by_content(config["subspace"]),
        "solver": dict(config["solver"]),
        "seed": config["seed"],
        "dtype": config["dtype"],
    }


def _by_content(node: Mapping[str, Any] | None) -> dict[str, Any]:
    """A node with its files replaced by their digests."""
    node = dict(node or {})
    path = node.pop("path", None)
    if path is not None and Path(path).is_file():
        node["file"] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return node


def _batched(planned: Sequence[Planned], size: int) -> list[list[Planned]]:
    """Under each layer, neighbours of one shape, up to `size` together; the layers of the same images follow each other."""
    by_layer: dict[Layer, list[list[Planned]]] = {}
    for p in planned:
        batches = by_layer.setdefault(p.layer, [])
        if batches and len(batches[-1]) < size and batches[-1][0].shape == p.shape:
            batches[-1].append(p)
        else:
            batches.append([p])
    return sorted((batch for batches in by_layer.values() for batch in batches), key=lambda batch: batch[0].index)


def _batch_size(size: Any) -> int:
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ConfigurationError(f"images.batch_size={size!r} must be a whole number of at least 1.")
    return size


def _dtype(name: Any) -> torch.dtype:
    if name not in _DTYPES:
        raise ConfigurationError(f"dtype={name} cannot be computed in. {nearest(str(name), _DTYPES)}")
    return _DTYPES[name]


def layer_table(config: Mapping[str, Any]) -> str:
    """The layers of the configured model in the order in which they run, a line each with the shape of one image's output.

    The input has the configured images' size (224 where they have none) and the channels that the model takes, three or one.

    Raises:
        ModelError: if the model takes neither.
    """
    node = {**dict(config["model"]), "layer": None}
    if node.get("weights") == "default":
        node["weights"] = "random"  # shapes need no download
    model = build_model(node)[1].models[None]
    size = config["images"].get("size") or 224
    sides = [size, size] if isinstance(size, int) else list(size)
    for channels in (3, 1):
        try:
            shapes = layer_shapes(model, (channels, *sides))
        except (RuntimeError, ModelError):
            continue
        return "\n".join(f"{name:<40} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
    raise ModelError(f"{config['model'].get('name')} takes images of neither 3 nor 1 channels at {sides[0]}x{sides[1]}. Set images.size.")
