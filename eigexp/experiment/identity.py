"""From a configuration to what its results are known by: the parts that determine the numbers, and every setting of them."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from eigexp.config.instantiate import located
from eigexp.config.own_targets import AROUND_THE_MODEL, NOT_OF_THE_MODEL
from eigexp.models.layers import Layer
from eigexp.store.identity import Part, flat_settings, identity_of

_ONLY_WEIGHTS = "seed"  # of a registered model: it determines random weights, whose digest is in the identity
_NOT_OF_PIXELS = (
    "_target_",
    "names",
    "path",
    "pattern",
    "subset",
    "batch_size",
)  # keys of `images` that choose images, or how many at once
# Settings that may name a file, and the key of its digest.
_FILES = {"path": "file", "variance": "variance_file", "checkpoint_path": "checkpoint"}
_OPTIONAL = {"certify": "float64"}  # keys that join the identity where they differ from this


def parts_of(config: Mapping[str, Any], model_code: str = "") -> dict[str, Part | None]:
    """Return model, noise, subspace and solver of a configuration as parts; None for an empty node.

    Args:
        config: plain values.
        model_code: digest of the user's own code in the built model; a configuration names the code of its target alone.

    Raises:
        ConfigurationError: if a target cannot be imported.
    """
    model = {key: value for key, value in config["model"].items() if key not in NOT_OF_THE_MODEL}
    nodes = {"model": model, **{key: config.get(key) for key in ("noise", "subspace", "solver")}}
    parts = {key: part_of(node, key) for key, node in nodes.items()}
    return {key: replace(part, code=model_code) if part and key == "model" and model_code else part for key, part in parts.items()}


def result_identity(
    config: Mapping[str, Any], layer: Layer, weights: str, image: str, shape: tuple[int, ...], parts: Mapping[str, Part | None]
) -> dict[str, Any]:
    """Return what determines the numbers of one result: no paths of this package, no devices, loggers or trainer.

    Args:
        config: plain values.
        layer: whose response is analysed.
        weights: digest of the weights that it depends on.
        image: digest of the final pixels, which stands for their source and transforms.
        shape: of the image (c, h, w), for people: it is part of the digest.
        parts: as `parts_of` gives them.
    """
    optional = {key: config[key] for key, usual in _OPTIONAL.items() if config.get(key, usual) != usual}
    optional |= {f"model.{key}": value for key, value in around_model(config["model"]).items()}
    about = {"layer": layer, "weights": weights, "image": image, "shape": shape, "seed": config["seed"], "dtype": config["dtype"]}
    return identity_of(parts, **about, **optional)


def around_model(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a `model` node sets around its network: the part of the output, the preprocessing."""
    return {key: node[key] for key in AROUND_THE_MODEL if node.get(key) not in (None, "own")}


def result_settings(config: Mapping[str, Any], model_code: str = "") -> dict[str, Any]:
    """Return every setting of what determines the numbers, defaults included, as a record keeps them."""
    more = {key: config.get(key, usual) for key, usual in _OPTIONAL.items()}
    images = {f"images.{key}": value for key, value in config["images"].items() if key not in _NOT_OF_PIXELS}
    return flat_settings(parts_of(config, model_code), seed=config["seed"], dtype=config["dtype"], **more) | images


def part_of(node: Mapping[str, Any] | None, key: str) -> Part | None:
    """Return a node of a configuration as a part; None for an empty one."""
    if not node or not node.get("_target_"):
        return None
    path = str(node["_target_"])
    part = Part.of(located(path, key), path, _by_content({k: v for k, v in node.items() if k != "_target_"}))
    if key == "model" and part.registered:
        return Part(part.name, True, {k: v for k, v in part.given.items() if k != _ONLY_WEIGHTS}, part.defaults)
    return part


def _by_content(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with files replaced by their digests: `path` as `file`, and the name of a file where a number could stand."""
    settings = dict(settings)
    for key, name in _FILES.items():
        path = settings.get(key)
        if isinstance(path, str) and Path(path).is_file():
            del settings[key]
            settings[name] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return settings
