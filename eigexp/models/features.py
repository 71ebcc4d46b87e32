"""The output of one or several layers of any network, without running the later layers.

The network is traced by torch.fx and its graph is cut after the last requested layer. Node names are those of torchvision's feature
extraction, so operations that are not modules (`layer1.0.add`) can be requested too. A network that cannot be traced runs until forward
hooks have seen every layer. In both cases the name of a module means what the module returns.
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

_MAX_HINT = 200  # characters


class Features(nn.Module):
    """A network up to some of its layers.

    In-place activations of the network are switched off, because they would overwrite the output of the layer before them.

    Args:
        network: any network; it is put into evaluation mode.
        layer: name of a module or of a traced operation, or several names.

    Attributes:
        layers: the names.
        traced: whether the graph was cut; otherwise hooks stop the network.

    Raises:
        ModelError: if a layer is unknown; the message names the nearest.
    """

    def __init__(self, network: nn.Module, layer: str | Sequence[str]) -> None:
        from eigexp.models.tracing import cut, trace_network  # loads torchvision, which models without a layer do not need

        super().__init__()
        self.layers = (layer,) if isinstance(layer, str) else tuple(layer)
        self.single = isinstance(layer, str)
        inner = network.network if isinstance(network, ImageNetwork) else network
        self.normalise: nn.Module = network.normalise if isinstance(network, ImageNetwork) else nn.Identity()
        disable_inplace(inner.eval())
        trace = trace_network(inner)
        _check_layers(self.layers, inner, trace)
        self.traced = trace is not None
        self._network = _Hidden(inner)
        self.extractor = HookedLayers(inner, self.layers) if trace is None else cut(trace, self.layers)
        self.eval()

    def forward(self, x: Tensor) -> Any:
        """Return the layer's output for images (b, c, h, w); for several layers, a dict by name."""
        seen = self.normalise(x)
        try:
            outputs = self.extractor(seen)
        except AssertionError as error:
            raise self._explained(seen, error) from error
        return outputs[self.layers[0]] if self.single else outputs

    def _explained(self, x: Tensor, error: AssertionError) -> ModelError:
        """Return the network's own message: a traced assertion names placeholders, such as Proxy(getitem_2), instead of values."""
        try:
            self._network.network(x)
        except Exception as own:
            error = own  # pyright: ignore[reportAssignmentType]
        return ModelError(f"the model does not accept images of shape {tuple(x.shape[1:])}: {error} Set images.size or images.grey.")


class _Hidden:
    """Hides a network from nn.Module and from copies: what runs is the extractor, and the network explains errors only."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Hidden":
        return self


def layer_shapes(network: nn.Module, image_shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Return the output shape, without the batch axis, of every layer that `Features` accepts, in the order of execution.

    Layers that do not return a single tensor are left out. `image_shape` is (c, h, w).
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


def disable_inplace(network: nn.Module) -> None:
    """Set `inplace=False` on every activation and dropout of a network. Changes the network."""
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]


def _check_layers(layers: Sequence[str], network: nn.Module, trace: "Trace | None") -> None:
    known = [name for name, _ in network.named_modules() if name] if trace is None else list(trace.outputs)
    if not layers:
        raise ModelError("model.layer=[] names no layer. Give one name, several names, or null for the model's output.")
    for layer in layers:
        if layer not in known:
            hint = nearest(str(layer), known)
            if len(hint) > _MAX_HINT:  # nothing is near, and the list of all layers is too long to read
                hint = nearest(str(layer), [name for name in known if "." not in name])
            raise ModelError(f"model.layer={layer} is not a layer of {type(network).__name__}. {hint}")
