"""The thresholds that several models predict for the same stored distortions, each under its own noise."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from eigexp.experiment.linearity import rebuilt
from eigexp.experiment.networks import Network
from eigexp.experiment.parts import build
from eigexp.experiment.seen_by import seen_by
from eigexp.noise import Noise
from eigexp.store import Result
from eigexp.store.identity import is_ratio

Observers = dict[str, tuple[Network, Noise | None]]


def models_of(
    results: Iterable[Result], labels: Mapping[str, str], trusted: Callable[[Result], bool], built: dict[str, Network]
) -> Observers:
    """Return the models of stored results with their noise, by their labels.

    Args:
        results: from the store; those of norms or of pairs of models are left out.
        labels: of the model of each result, by its id.
        trusted: whether a result's configuration, which is code, may be run.
        built: networks of results, by their configuration; new ones are added.

    Raises:
        ConfigurationError: if a result is not trusted, or kept no configuration.
        ModelError: if a model's weights have changed since.
    """
    found: Observers = {}
    for result in results:
        if labels[result.id] not in found and not is_ratio(result.record):
            network, config = rebuilt(result, trust=trusted(result), built=built)
            found[labels[result.id]] = network, build(config.get("noise"), "noise")
    return found


def predictions(results: Sequence[Result], observers: Observers) -> list[dict[str, Any]]:
    """Return a row for each distortion of each result and each model, as `eigexp.experiment.seen_by.seen_by`.

    Raises:
        ConfigurationError: for a noise that gives no v^T F v from one product.
        ModelError: if a model does not take an image.
    """
    return [row for name, (network, noise) in observers.items() for row in seen_by(results, {name: network}, noise)]
