"""The sensitivity of other models to stored distortions, v^T F v, in the rows and by the products of a cross table of layers."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from eigexp.config.compose import compose
from eigexp.errors import ConfigurationError
from eigexp.experiment.networks import Network, build_network
from eigexp.noise import EarlyLateNoise, Noise
from eigexp.operators.cross import layer_sensitivities
from eigexp.store import Result
from eigexp.store.cross_table import rows_of, with_ratios


def networks(names: Sequence[str]) -> dict[str, Network]:
    """Return the networks of "lg", "resnet18:layer2" or "resnet18:layer2 weights=random": an option of model, a layer, its settings.

    Raises:
        ConfigurationError: if a name is not an option of `model`, or names several layers.
        ModelError: if a network cannot be built.
    """
    return {name: _network(name) for name in names}


def seen_by(results: Sequence[Result], models: dict[str, Network], noise: Noise | None = None) -> list[dict[str, Any]]:
    """Return a row of `eigexp.store.cross_table.COLUMNS` for each stored distortion under each model.

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
        values = {name: sensitivities(_only_model(network).double(), image, vectors, noise).tolist() for name, network in models.items()}
        for i, (index, value) in enumerate(zip(result.record["eigenindex"], result.record["eigenvalues"], strict=True)):
            rows += rows_of(result.record, index, value, {name: column[i] for name, column in values.items()})
    return with_ratios(rows)


def sensitivities(model: Callable[[Tensor], Any], image: Tensor, vectors: Tensor, noise: Noise | None = None) -> Tensor:
    """Return v^T F v of distortions (k, pixels) at one image (*image shape), shape (k,), float64."""
    return layer_sensitivities(model, image, vectors, noise=noise)[:, 0]


def _only_model(network: Network) -> nn.Module:
    (model,) = network.layers.models.values()
    return model


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
