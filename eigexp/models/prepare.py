"""From a constructed network to the fixed function that is linearised."""

import logging
from collections.abc import Sequence

from torch import nn

from eigexp.errors import ModelError
from eigexp.models.features import Features, out_of_place
from eigexp.models.network import ChoosesWeights
from eigexp.models.weights import load_weights, weights_digest

__all__ = ["prepare_model", "weights_digest"]

log = logging.getLogger(__name__)


def prepare_model(module: nn.Module, *, layer: str | Sequence[str] | None = None, weights: str | None = None) -> nn.Module:
    """A model ready to be linearised: weights loaded, in evaluation mode, without gradients to its parameters, cut at a layer.

    Args:
        module: changed in place (mode, weights, requires_grad, in-place activations switched off).
        layer: name of the layer whose output is the response; several names are one response, their outputs concatenated (a result a
            layer is what `NetworkLayers` and the command's `model.layer=[a,b]` give); None for the module's own output.
        weights: a local file (safetensors, or .pth of tensors only). For networks of `eigexp.models.zoo` also "default" or "random".

    Raises:
        ModelError: if the weights do not fit or were not chosen, or a layer is unknown.
    """
    if isinstance(module, ChoosesWeights):
        _choose_weights(module, weights)
    elif weights is not None:
        load_weights(module, weights)
    if module.training:
        log.info("%s was in training mode and is now in evaluation mode.", type(module).__name__)
    prepared = module if layer is None else Features(module, layer)
    out_of_place(prepared)
    return prepared.eval().requires_grad_(False)


def _choose_weights(network: ChoosesWeights, weights: str | None) -> None:
    if weights is not None:
        network.choose_weights(weights)
    elif network.weights is None:
        raise ModelError(
            f"model.weights=null leaves {network.architecture} untrained. Set model.weights=default, random, or the path of a file."
        )
