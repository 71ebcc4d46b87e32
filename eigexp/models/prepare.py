"""Turn a network into the fixed function that is linearised."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from eigexp.errors import ModelError
from eigexp.models.features import Features, disable_inplace
from eigexp.models.network import ChoosesWeights
from eigexp.models.outputs import SelectedOutput, preprocessed
from eigexp.models.weights import load_weights, weights_digest

__all__ = ["prepare_model", "weights_digest"]

log = logging.getLogger(__name__)


def prepare_model(
    module: nn.Module,
    *,
    layer: str | Sequence[str] | None = None,
    weights: str | Mapping[str, Any] | None = None,
    output: str | int | None = None,
    preprocess: str | None = None,
) -> nn.Module:
    """Prepare a model: load weights, set evaluation mode, switch off gradients of its parameters, and cut it after a layer.

    Args:
        module: changed in place (mode, weights, requires_grad, in-place activations).
        layer: name of the layer whose output is the response; the outputs of several names are concatenated to one response (for one result
            per layer use `NetworkLayers`, or `model.layer=[a,b]` on the command line); None for the module's output.
        weights: a local file (safetensors, .pth, a checkpoint of Lightning), or {path:, prefix:, trusted:}, see `WeightsFile`. For networks
            of `eigexp.models.zoo` also "default" or "random".
        output: key of the part of the output that is the response, such as "last_hidden_state"; None for all of it.
        preprocess: "imagenet" normalises images in [0, 1] first; None or "own" if the model does so itself.

    Returns:
        The module itself, or its `Features` if a layer is given, or a module that wraps one of these.

    Raises:
        ModelError: if it is not a module, the weights do not fit or were not chosen, or a layer is unknown.
    """
    check_callable(module)
    if not isinstance(module, nn.Module):
        raise ModelError(f"a {type(module).__name__} cannot be prepared, because it is no torch.nn.Module. Use it as it is.")
    if isinstance(module, ChoosesWeights):
        _choose_weights(module, weights)
    elif weights is not None:
        load_weights(module, weights)
    if module.training:
        log.info("%s was in training mode and is now in evaluation mode.", type(module).__name__)
    module = preprocessed(module, preprocess)
    prepared = module if layer is None else Features(module, layer)
    prepared = prepared if output is None else SelectedOutput(prepared, output)
    disable_inplace(prepared)  # they would overwrite values that a second derivative needs
    return prepared.eval().requires_grad_(False)


def check_callable(model: Any) -> None:
    """Refuse a class in the place of its instance, and what cannot be called.

    Raises:
        ModelError: saying what to give.
    """
    if isinstance(model, type):
        raise ModelError(f"the model is the class {model.__name__}. Give an instance, such as {model.__name__}().")
    if not callable(model):
        raise ModelError(f"the model is {model!r:.60}, which cannot be called. Give a torch.nn.Module, such as eigexp.models.OnOff().")


def _choose_weights(network: ChoosesWeights, weights: str | Mapping[str, Any] | None) -> None:
    if weights is not None:
        network.choose_weights(weights)
    elif network.weights is None:
        raise ModelError(
            f"model.weights=null: {network.architecture} needs weights. Set model.weights=default, random, or the path of a file."
        )
