"""Several layers of one network: each one as a model, and all of them in one pass."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from eigexp.errors import ModelError
from eigexp.models.features import Features
from eigexp.models.prepare import prepare_model

Layer = str | tuple[str, ...] | None


def read_layers(value: Any) -> tuple[Layer, ...]:
    """Return the layers of a `model.layer` setting; each gets a result.

    null is the model's output, and a name is that layer. A list asks for several results: [a, b] for a and for b, [[a, b]] for the two
    concatenated as one response, [a, [b, c]] for a and for b with c.

    Raises:
        ModelError: if the value is none of these.
    """
    if value is None:
        return (None,)
    if not isinstance(value, Sequence) or isinstance(value, str):
        return (_name(value),)
    if not len(value):
        raise ModelError("model.layer=[] names no layer. Give one name, several names, or null for the model's output.")
    several = [_joined(item) if isinstance(item, Sequence) and not isinstance(item, str) else _name(item) for item in value]
    return tuple(dict.fromkeys(several))


def write_layer(layer: Layer) -> str | list[list[str]] | None:
    """Return the `model.layer` setting for this layer alone."""
    return [list(layer)] if isinstance(layer, tuple) else layer


class NetworkLayers:
    """One network, with its weights loaded once, and a model for each of several layers.

    Args:
        module: changed in place, as by `prepare_model`.
        layers: from `read_layers`.
        weights: as in `prepare_model`.
        output: as in `prepare_model`, of every layer.
        preprocess: as in `prepare_model`.

    Attributes:
        models: for each layer the result of `prepare_model(module, layer=layer)`. The models share the network's weights.

    Raises:
        ModelError: if the weights do not fit or were not chosen, or a layer is unknown.
    """

    def __init__(
        self,
        module: nn.Module,
        layers: Sequence[Layer],
        weights: str | Mapping[str, Any] | None = None,
        *,
        output: str | int | None = None,
        preprocess: str | None = None,
    ) -> None:
        self._network = prepare_model(module, weights=weights, preprocess=preprocess)
        self._output = output
        self.layers = tuple(layers)
        self.models: dict[Layer, nn.Module] = {layer: self._alone(layer) for layer in self.layers}

    def trunk(self) -> nn.Module:
        """Return a model of all layers, which runs the network once, up to the last of them."""
        if self.layers == (None,):
            return self._network
        return Trunk(self._network, self.layers)

    def _alone(self, layer: Layer) -> nn.Module:
        return prepare_model(self._network, layer=list(layer) if isinstance(layer, tuple) else layer, output=self._output)


class Trunk(nn.Module):
    """A network up to the last of several layers.

    Args:
        network: prepared.
        layers: names, or tuples of names that are concatenated.
    """

    def __init__(self, network: nn.Module, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.groups = [(layer,) if isinstance(layer, str) else tuple(layer or ()) for layer in layers]
        self.features = Features(network, list(dict.fromkeys(name for group in self.groups for name in group)))

    def forward(self, x: Tensor) -> list[list[Any]]:
        """Return the outputs of each layer for images (b, c, h, w), a list per layer."""
        outputs = self.features(x)
        return [[outputs[name] for name in group] for group in self.groups]


def _joined(names: Sequence[Any]) -> Layer:
    """Return several layers as one response; a single layer is returned unchanged."""
    if not len(names):
        raise ModelError("model.layer=[[]] names no layer. Give the names of layers to concatenate.")
    found = tuple(_name(name) for name in names)
    return found[0] if len(found) == 1 else found


def _name(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # the modules of an nn.Sequential are numbered
    if isinstance(value, str):
        return value
    raise ModelError(
        f"model.layer={value!r} is not a layer name. Give a name, a list of names, or null; inside a list, name the "
        "last layer instead of null. `eigexp models NAME` lists the layers."
    )
