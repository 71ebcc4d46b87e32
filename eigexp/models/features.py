"""The output of a layer, or of several, of any network, without running what comes after it.

The network is traced by torch.fx and its graph cut after the last layer asked for; node names are those of torchvision's feature
extraction, so operations that are no module (`layer1.0.add`) can be asked for too. A network that cannot be traced runs as it is until
forward hooks have seen every layer. A module's name always means what the module returns, in both ways.
"""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torchvision.models.feature_extraction import NodePathTracer

from eigexp.errors import ModelError, nearest
from eigexp.models.network import ImageNetwork

log = logging.getLogger(__name__)


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
        super().__init__()
        self.layers = (layer,) if isinstance(layer, str) else tuple(layer)
        self.single = isinstance(layer, str)
        inner = network.network if isinstance(network, ImageNetwork) else network
        self.normalise: nn.Module = network.normalise if isinstance(network, ImageNetwork) else nn.Identity()
        out_of_place(inner.eval())
        trace = _trace(inner)
        _check_layers(self.layers, inner, trace)
        self.traced = trace is not None
        self.extractor = _Hooked(inner, self.layers) if trace is None else _cut(trace, self.layers)
        self.eval()

    def forward(self, x: Tensor) -> Any:
        """The layer's output for images (b, c, h, w); for several layers, a dict by name."""
        outputs = self.extractor(self.normalise(x))
        return outputs[self.layers[0]] if self.single else outputs


def layer_shapes(network: nn.Module, image_shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Output shape, without the batch's axis, of every layer that `Features` can take, in the order in which the network runs them.

    Layers that return no single tensor are left out. `image_shape` is (c, h, w).
    """
    inner = network.network if isinstance(network, ImageNetwork) else network
    trace = _trace(inner.eval())
    names = [name for name, _ in inner.named_modules() if name] if trace is None else list(trace.outputs)
    extractor = _Hooked(inner, names, partial=True) if trace is None else _cut(trace, names)
    parameter = next(inner.parameters(), torch.zeros(()))
    with torch.no_grad():
        outputs = extractor(parameter.new_zeros((1, *image_shape)))
    return {name: tuple(value.shape[1:]) for name, value in outputs.items() if isinstance(value, Tensor)}


def out_of_place(network: nn.Module) -> None:
    """Switch off the in-place variant of every activation and dropout of a network, in place."""
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]


class _Trace(NodePathTracer):
    """A traced network: its graph, and by name what every module and operation returns."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(autowrap_modules=(math,))
        self._returned: dict[str, Any] = {}
        self.graph = self.trace(network)
        operations = {name: node for node, name in self.node_to_qualname.items() if node.op not in ("placeholder", "output", "get_attr")}
        position = {node: i for i, node in enumerate(self.graph.nodes)}
        named = {**operations, **self._returned}
        last = {name: max((position[node] for node in _nodes(value)), default=-1) for name, value in named.items()}
        self.outputs = {name: named[name] for name in sorted(named, key=lambda name: last[name]) if last[name] >= 0}

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Note what the module returns, the first time that it is called."""
        returned = super().call_module(m, forward, args, kwargs)
        self._returned.setdefault(self.path_of_module(m), self.create_arg(returned))
        return returned


def _trace(network: nn.Module) -> _Trace | None:
    try:
        return _Trace(network)
    except Exception as error:  # a forward pass that meets symbolic values may raise anything
        log.info("%s cannot be traced, so hooks take its layers (%s: %s)", type(network).__name__, type(error).__name__, error)
        return None


def _cut(trace: _Trace, layers: Iterable[str]) -> fx.GraphModule:
    """The network up to its last layer asked for, returning a dict by layer. Every earlier operation stays, for it may act in place."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    wanted = {name: trace.outputs[name] for name in layers}
    awaited = {node for value in wanted.values() for node in _nodes(value)}
    kept: dict[fx.Node, fx.Node] = {}
    alone = len(awaited) == 1
    for node in trace.graph.nodes:
        if len(kept) == len(awaited):
            break
        copies[node] = graph.node_copy(node, lambda n: copies[n])
        if node in awaited:
            kept[node] = copies[node] if alone else graph.call_function(clone_tensors, (copies[node],))
    graph.output({name: fx.map_arg(value, lambda n: kept[n]) for name, value in wanted.items()})
    return fx.GraphModule(trace.root, graph)


class _Stop(Exception):
    """Every layer has been seen."""


class _Hooked(nn.Module):
    """Runs a network until hooks have seen every layer once; with `partial`, to its end, and returns those seen."""

    def __init__(self, network: nn.Module, layers: Iterable[str], partial: bool = False) -> None:
        super().__init__()
        self.network = network
        self.layers = tuple(layers)
        self.partial = partial

    def forward(self, x: Tensor) -> dict[str, Any]:
        """Outputs by layer; a module that runs several times gives its first."""
        seen: dict[str, Any] = {}
        handles = [self.network.get_submodule(name).register_forward_hook(self._hook(name, seen)) for name in self.layers]
        try:
            self.network(x)
        except _Stop:
            pass  # all that was wanted is in `seen`
        finally:
            for handle in handles:
                handle.remove()
        missing = [name for name in self.layers if name not in seen]
        if missing and not self.partial:
            raise ModelError(f"model.layer={missing[0]} is a part of the model that its forward pass does not run. Choose another layer.")
        return seen

    def _hook(self, name: str, seen: dict[str, Any]) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            seen.setdefault(name, clone_tensors(output))
            if len(seen) == len(self.layers) and not self.partial:
                raise _Stop

        return hook


def clone_tensors(output: Any) -> Any:
    """A copy of tensors in any nesting of tuples, lists and dicts, which later in-place operations cannot reach."""
    if isinstance(output, Tensor):
        return output.clone()
    if isinstance(output, Mapping):
        return {key: clone_tensors(value) for key, value in output.items()}
    if isinstance(output, list | tuple):
        return (
            type(output)([clone_tensors(value) for value in output])
            if type(output) in (list, tuple)
            else [clone_tensors(v) for v in output]
        )
    return output


def _nodes(value: Any) -> list[fx.Node]:
    found: list[fx.Node] = []
    fx.map_arg(value, lambda node: found.append(node) or node)
    return found


def _check_layers(layers: Sequence[str], network: nn.Module, trace: _Trace | None) -> None:
    known = [name for name, _ in network.named_modules() if name] if trace is None else list(trace.outputs)
    if not layers:
        raise ModelError("model.layer=[] names no layer. Give one name, several, or null for the model's own output.")
    for layer in layers:
        if layer not in known:
            near = nearest(str(layer), known)
            offer = near if len(near) < 200 else nearest(str(layer), [name for name in known if "." not in name])
            raise ModelError(f"model.layer={layer} is no layer of {type(network).__name__}. {offer}")
