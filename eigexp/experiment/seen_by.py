"""The sensitivity of other models to stored distortions, v^T F v, from one linearisation of each model at each image."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from eigexp.config.compose import compose
from eigexp.errors import ConfigurationError
from eigexp.experiment.networks import Network, build_network
from eigexp.noise import EarlyLateNoise, Noise
from eigexp.operators import linearise
from eigexp.store import Result
from eigexp.store.labels import layer_label

COLUMNS = ("id", "model", "layer", "image", "eigenindex", "eigenvalue", "seen_by", "value", "threshold", "ratio")
_CHUNK = 64


def networks(names: Sequence[str]) -> dict[str, Network]:
    """Return the networks of "lg", "resnet18:layer2" or "resnet18:layer2 weights=random": an option of model, a layer, its settings.

    Raises:
        ConfigurationError: if a name is not an option of `model`, or names several layers.
        ModelError: if a network cannot be built.
    """
    return {name: _network(name) for name in names}


def seen_by(results: Sequence[Result], models: dict[str, Network], noise: Noise | None = None) -> list[dict[str, Any]]:
    """Return a row of COLUMNS for each stored distortion under each model; `ratio` is relative to its largest row of the same image.

    Args:
        results: from the store.
        models: by name.
        noise: of their responses; None for unit Gaussian noise.

    Raises:
        ConfigurationError: for a noise that gives no v^T F v from one product.
        ModelError: if a model does not take an image.
    """
    if isinstance(noise, EarlyLateNoise):
        raise ConfigurationError("With noise=early_late, v^T F v cannot be computed with one product. Choose another noise.")
    rows = []
    for result in results:
        image = torch.from_numpy(result.image).double()
        vectors = torch.from_numpy(result.eigendistortions).double().reshape(-1, image.numel())
        for name, network in models.items():
            (model,) = network.layers.models.values()
            values = sensitivities(model.double(), image, vectors, noise)
            rows += [_row(result, i, name, float(value)) for i, value in enumerate(values)]
    return _with_ratios(rows)


def sensitivities(model: Callable[[Tensor], Any], image: Tensor, vectors: Tensor, noise: Noise | None = None) -> Tensor:
    """Return v^T F v of distortions (k, pixels) at one image (*image shape), in its dtype, shape (k,)."""
    A = linearise(model, image[None], noise=noise, method="double_backward" if len(vectors) < _CHUNK else "auto")
    parts = [A.apply(part[None])[0].square().sum(1) for part in vectors.split(_CHUNK)]
    return torch.cat(parts) if parts else vectors.new_empty(0)


def _network(name: str) -> Network:
    words = name.split()
    option, _, layer = words[0].partition(":")
    config = compose([f"model={option}", *(f"model.{word}" for word in words[1:])])
    node = OmegaConf.to_container(config.model, resolve=True)
    assert isinstance(node, dict)
    network = build_network({str(key): value for key, value in node.items()} | ({"layer": layer} if layer else {}))
    if len(network.layers.layers) > 1:
        raise ConfigurationError(f"--models {name} names several layers. Give one layer after the colon.")
    return network


def _row(result: Result, i: int, name: str, value: float) -> dict[str, Any]:
    record = result.record
    layer = record.get("layer")
    return {
        "id": result.id,
        "model": record["model"],
        "layer": layer_label(layer) if layer else None,
        "image": record["image"]["name"],
        "eigenindex": record["eigenindex"][i],
        "eigenvalue": record["eigenvalues"][i],
        "seen_by": name,
        "value": value,
        "threshold": value**-0.5 if value > 0 else None,
    }


def _with_ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add each value relative to the largest that the same model has at the same image."""
    largest: dict[tuple[Any, Any], float] = {}
    for row in rows:
        key = row["image"], row["seen_by"]
        largest[key] = max(largest.get(key, 0.0), row["value"])
    return [row | {"ratio": row["value"] / top if (top := largest[row["image"], row["seen_by"]]) > 0 else None} for row in rows]
