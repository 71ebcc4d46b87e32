"""The output of a layer, or of several, of any network, without running what comes after it.

The network is traced by torch.fx and its graph cut after the last layer asked for; node names are those of torchvision's feature
extraction, so operations that are no module (`layer1.0.add`) can be asked for too. A network that cannot be traced runs as it is until
forward hooks have seen every layer. A module's name always means what the module returns, in both ways.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from eigexp.errors import ModelError, nearest
from eigexp.models.hooks import HookedLayers
from eigexp.models.network import ImageNetwork

if TYPE_CHECKING:
    from eigexp.models.tracing import Trace


class Features(nn.Module):
    """A network up to some of its layers.

    The network's in-place activations are switched off in place, so that no layer's output is overwritten.

    Args:
        network: any network; it is left in evaluation mode.
        layer: name of a module or of a traced operation, or several of them.

    Attributes:
        layers: the names.
        traced: whether the graph could be cut; otherwise hooks stop the network.

    Raises:
        ModelError: if a layer is unknown; the message offers the nearest names.
    """

    def __init__(self, network: nn.Module, layer: str | Sequence[str]) -> None:
        from eigexp.models.tracing import cut, trace_network  # loads torchvision, which whole models do without

        super().__init__()
        self.layers = (layer,) if isinstance(layer, str) else tuple(layer)
        self.single = isinstance(layer, str)
        inner = network.network if isinstance(network, ImageNetwork) else network
        self.normalise: nn.Module = network.normalise if isinstance(network, ImageNetwork) else nn.Identity()
        out_of_place(inner.eval())
        trace = trace_network(inner)
        _check_layers(self.layers, inner, trace)
        self.traced = trace is not None
        self.extractor = HookedLayers(inner, self.layers) if trace is None else cut(trace, self.layers)
        self.eval()

    def forward(self, x: Tensor) -> Any:
        """The layer's output for images (b, c, h, w); for several layers, a dict by name."""
        outputs = self.extractor(self.normalise(x))
        return outputs[self.layers[0]] if self.single else outputs


def layer_shapes(network: nn.Module, image_shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Output shape, without the batch's axis, of every layer that `Features` can take, in the order in which the network runs them.

    Layers that return no single tensor are left out. `image_shape` is (c, h, w).
    """
    from eigexp.models.tracing import cut, trace_network

    inner = network.network if isinstance(network, ImageNetwork) else network
    trace = trace_network(inner.eval())
    names = [name for name, _ in inner.named_modules() if name] if trace is None else list(trace.outputs)
    extractor = HookedLayers(inner, names, partial=True) if trace is None else cut(trace, names)
    parameter = next(inner.parameters(), torch.zeros(()))
    with torch.no_grad():
        outputs = extractor(parameter.new_zeros((1, *image_shape)))
    return {name: tuple(value.shape[1:]) for name, value in outputs.items() if isinstance(value, Tensor)}


def out_of_place(network: nn.Module) -> None:
    """Switch off the in-place variant of every activation and dropout of a network, in place."""
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]


def _check_layers(layers: Sequence[str], network: nn.Module, trace: "Trace | None") -> None:
    known = [name for name, _ in network.named_modules() if name] if trace is None else list(trace.outputs)
    if not layers:
        raise ModelError("model.layer=[] names no layer. Give one name, several, or null for the model's own output.")
    for layer in layers:
        if layer not in known:
            near = nearest(str(layer), known)
            offer = near if len(near) < 200 else nearest(str(layer), [name for name in known if "." not in name])
            raise ModelError(f"model.layer={layer} is no layer of {type(network).__name__}. {offer}")
