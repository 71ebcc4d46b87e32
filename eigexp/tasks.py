"""From a composed configuration to tasks: the model, the images in batches, and each result's id."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from eigexp.construct import construct
from eigexp.errors import ConfigurationError, ModelError, nearest
from eigexp.images import Image, ImageSource
from eigexp.models import layer_shapes, prepare_model, weights_digest
from eigexp.store import result_id
from eigexp.store.record import canonical_json
from eigexp.training import Task

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_IDENTITY_FORMAT = 1
_OWN_MODEL_KEYS = ("name", "layer", "weights")


@dataclass(frozen=True)
class Planned:
    """One image of a plan: which it is in its source, and the id of its result."""

    index: int
    name: str
    id: str
    identity: dict[str, Any]
    shape: tuple[int, ...]


class TaskList(Sequence[Task]):
    """The tasks of one configuration; images are read again when their task begins, so that few are in memory at once.

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
        self.model_name, self.layer, self.model = built.get(config["model"])
        self._weights = built.digest
        self.planned = list(self._plan())
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
        rest.__dict__ = {**self.__dict__, "planned": planned, "_batches": _batched(planned, self.batch_size)}
        return rest

    @property
    def batches(self) -> "list[list[Planned]]":
        """The images of each task."""
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
        images = [self.source[p.index] for p in batch]
        return Task(
            images=tuple(Image(i.name, i.pixels.to(self.dtype), i.sha256, i.source) for i in images),
            model=self.model,
            ids=tuple(p.id for p in batch),
            identities=tuple(p.identity for p in batch),
            config=self.config,
            model_name=self.model_name,
        )

    def _plan(self) -> Iterator[Planned]:
        common = _identity(self.config, self.layer, self._weights)
        for index, name in enumerate(self.source.names()):
            image = self.source[index]
            identity = {**common, "image": image.sha256}
            yield Planned(index, name, result_id(identity), identity, tuple(image.pixels.shape))


class BuiltModel:
    """The last model that was built, with the digest of its weights: asked for again, it is there; for another, it is freed."""

    def __init__(self) -> None:
        self._node: str | None = None
        self._model: tuple[str, Any, nn.Module] | None = None
        self.digest = ""

    def get(self, node: Mapping[str, Any]) -> tuple[str, Any, nn.Module]:
        """As `build_model`."""
        key = canonical_json(node)
        if self._model is None or key != self._node:
            self._model = None
            self._model = build_model(node)
            self._node, self.digest = key, weights_digest(self._model[2])
        return self._model


def build_model(node: Mapping[str, Any]) -> tuple[str, Any, nn.Module]:
    """The name, the layer and the prepared model of a configuration's `model` node.

    Raises:
        ConfigurationError: if the node does not describe a model.
        ModelError: if the weights or the layer do not fit.
    """
    settings = dict(node)
    name, layer, weights = (settings.pop(key, None) for key in _OWN_MODEL_KEYS)
    module = construct(settings, "model")
    if not isinstance(module, nn.Module):
        raise ConfigurationError(f"model._target_={settings.get('_target_')} makes a {type(module).__name__}, not a torch.nn.Module.")
    return _model_name(name, str(settings["_target_"])), layer, prepare_model(module, layer=layer, weights=weights)


def _model_name(name: str | None, target: str) -> str:
    """The configured name, but a model of the user's own is not called by the name of the option that it was put into."""
    if target.startswith("eigexp.") or not name:
        return name or target.rpartition(".")[2]
    return target.rpartition(".")[2] if name in ("ln", "lg", "lgg", "onoff") else name


def _identity(config: Mapping[str, Any], layer: Any, weights: str) -> dict[str, Any]:
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
    """Neighbours of one shape, up to `size` together."""
    batches: list[list[Planned]] = []
    for p in planned:
        if batches and len(batches[-1]) < size and batches[-1][0].shape == p.shape:
            batches[-1].append(p)
        else:
            batches.append([p])
    return batches


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
    _, _, model = build_model(node)
    size = config["images"].get("size") or 224
    sides = [size, size] if isinstance(size, int) else list(size)
    for channels in (3, 1):
        try:
            shapes = layer_shapes(model, (channels, *sides))
        except (RuntimeError, ModelError):
            continue
        return "\n".join(f"{name:<40} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
    raise ModelError(f"{config['model'].get('name')} takes images of neither 3 nor 1 channels at {sides[0]}x{sides[1]}. Set images.size.")
