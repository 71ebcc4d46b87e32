"""Several layers of one network: each alone as a model, and all of them in one pass."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from eigexp.errors import ModelError
from eigexp.models.features import Features
from eigexp.models.prepare import prepare_model

Layer = str | tuple[str, ...] | None


def read_layers(value: Any) -> tuple[Layer, ...]:
    """The responses that `model.layer` asks for, a result each.

    null is the model's own output and a name that layer's; a list asks for several: [a, b] for a and for b, [[a, b]] for the two
    concatenated as one response, [a, [b, c]] for a and for b with c.

    Raises:
        ModelError: if it is none of these.
    """
    if value is None:
        return (None,)
    if not isinstance(value, Sequence) or isinstance(value, str):
        return (_name(value),)
    if not len(value):
        raise ModelError("model.layer=[] names no layer. Give one name, several, or null for the model's own output.")
    several = [_joined(item) if isinstance(item, Sequence) and not isinstance(item, str) else _name(item) for item in value]
    return tuple(dict.fromkeys(several))


def write_layer(layer: Layer) -> str | list[list[str]] | None:
    """The `model.layer` that asks for this response alone."""
    return [list(layer)] if isinstance(layer, tuple) else layer


class NetworkLayers:
    """One network with its weights, read out at several layers.

    Args:
        module: changed in place, as by `prepare_model`.
        layers: as `read_layers` gives them.
        weights: as in `prepare_model`.

    Attributes:
        models: by layer, what `prepare_model(module, layer=layer)` gives. They share the network's weights.

    Raises:
        ModelError: if the weights do not fit or were not chosen, or a layer is unknown.
    """

    def __init__(self, module: nn.Module, layers: Sequence[Layer], weights: str | None = None) -> None:
        self._network = prepare_model(module, weights=weights)
        self.layers = tuple(layers)
        self.models: dict[Layer, nn.Module] = {layer: self._alone(layer) for layer in self.layers}

    def trunk(self) -> nn.Module:
        """All the layers in one pass of the network up to the last of them, as a list in their order."""
        if self.layers == (None,):
            return self._network
        return Trunk(self._network, self.layers)

    def _alone(self, layer: Layer) -> nn.Module:
        return prepare_model(self._network, layer=list(layer) if isinstance(layer, tuple) else layer)


class Trunk(nn.Module):
    """A network up to the last of several layers.

    Args:
        network: prepared.
        layers: names, or tuples of names that belong together.
    """

    def __init__(self, network: nn.Module, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.groups = [(layer,) if isinstance(layer, str) else tuple(layer or ()) for layer in layers]
        self.features = Features(network, list(dict.fromkeys(name for group in self.groups for name in group)))

    def forward(self, x: Tensor) -> list[list[Any]]:
        """For images (b, c, h, w) the outputs of each layer in order, a list a layer."""
        outputs = self.features(x)
        return [[outputs[name] for name in group] for group in self.groups]


def _joined(names: Sequence[Any]) -> Layer:
    """One response of several layers; of one it is that layer."""
    if not len(names):
        raise ModelError("model.layer=[[]] names no layer. Give the names that are to be concatenated.")
    found = tuple(_name(name) for name in names)
    return found[0] if len(found) == 1 else found


def _name(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # a part of an nn.Sequential
    if isinstance(value, str):
        return value
    raise ModelError(
        f"model.layer={value!r} is no name of a layer. Give a name, a list of names, or null; in a list, name the last layer "
        "instead of null. `eigexp models NAME` lists them."
    )
