"""From the `model` node of a configuration to a network that is prepared at each of its layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eigexp.config.instantiate import located
from eigexp.config.own_targets import NOT_OF_THE_MODEL
from eigexp.errors import ModelError
from eigexp.experiment.parts import build
from eigexp.models import layer_shapes, weights_digest
from eigexp.models.layers import Layer, NetworkLayers, read_layers, write_layer
from eigexp.store.identity import registered_name
from eigexp.store.source_code import code_digest, model_code

_FRONT_ENDS = ("ln", "lg", "lgg", "onoff")  # options whose `name` a model of the user's own takes over without meaning it


@dataclass(frozen=True)
class Network:
    """A network at several layers.

    Attributes:
        name: what records and figures call it.
        layers: the network, by layer.
        digests: of the weights that each layer depends on.
        code: digest of the user's own code in it; empty where there is none.
    """

    name: str
    layers: NetworkLayers
    digests: Mapping[Layer, str]
    code: str = ""


def build_network(node: Mapping[str, Any]) -> Network:
    """Return the network of a `model` node.

    Raises:
        ConfigurationError: if the node does not describe a model.
        ModelError: if the weights or a layer do not fit.
    """
    settings = {key: value for key, value in node.items() if key not in NOT_OF_THE_MODEL}
    module = build(settings, "model")
    parts = {key: node.get(key) for key in ("output", "preprocess")}
    network = NetworkLayers(module, read_layers(node.get("layer")), node.get("weights"), **parts)
    digests = {layer: weights_digest(model) for layer, model in network.models.items()}
    return Network(_model_name(node), network, digests, code_digest([located(str(node["_target_"]), "model"), *model_code(module)]))


def one_layer(config: Mapping[str, Any], layer: Layer) -> dict[str, Any]:
    """Return the configuration of one of its layers alone."""
    return {**config, "model": {**config["model"], "layer": write_layer(layer)}}


def layer_table(config: Mapping[str, Any]) -> str:
    """Return the layers of the configured model in the order in which they run: one line per layer, with the shape of one image's output.

    The input has the configured images' size (224 where they have none) and the channels that the model takes, three or one.

    Raises:
        ModelError: if the model takes neither.
    """
    node = {**config["model"], "layer": None}
    if node.get("weights") == "default":
        node["weights"] = "random"  # shapes need no download
    model = build_network(node).layers.models[None]
    size = config["images"].get("size") or 224
    sides = [size, size] if isinstance(size, int) else list(size)
    for channels in (3, 1):
        try:
            shapes = layer_shapes(model, (channels, *sides))
        except (RuntimeError, ModelError):
            continue
        if not shapes:
            return f"{config['model'].get('name')} has no layers inside: its response is its output. Leave model.layer=null."
        return "\n".join(f"{name:<40} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
    raise ModelError(
        f"{config['model'].get('name')} accepts images with neither 3 channels nor 1 at {sides[0]}x{sides[1]}. Set images.size."
    )


def _model_name(node: Mapping[str, Any]) -> str:
    """Return the configured name; a model of the user's own that was put into the option of a front end has its class's instead."""
    name, path = node.get("name"), str(node["_target_"])
    if name and (name not in _FRONT_ENDS or registered_name(located(path, "model"))):
        return name
    owner, _, last = path.rpartition(".")
    is_method = "." in owner and owner.rpartition(".")[2][:1].isupper() and isinstance(located(owner, "model"), type)
    return owner.rpartition(".")[2] if is_method else last  # a class method, such as load_from_checkpoint, makes an object of its class
