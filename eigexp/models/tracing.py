"""Layers by torch.fx: trace the graph of a network, and cut it after the last requested layer."""

import logging
import math
from collections.abc import Callable, Iterable
from typing import Any

from torch import fx, nn
from torchvision.models.feature_extraction import NodePathTracer

from eigexp.models.hooks import clone_tensors

log = logging.getLogger(__name__)


class Trace(NodePathTracer):
    """A traced network: its graph, and the values that every module and operation returns, by name."""

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
        """Trace a module and record what its first call returns."""
        returned = super().call_module(m, forward, args, kwargs)
        self._returned.setdefault(self.path_of_module(m), self.create_arg(returned))
        return returned


def trace_network(network: nn.Module) -> Trace | None:
    """Return the trace of a network, or None if its forward pass cannot be traced."""
    try:
        return Trace(network)
    except Exception as error:  # a forward pass that meets symbolic values may raise anything
        log.debug("%s cannot be traced; using hooks for its layers (%s: %s)", type(network).__name__, type(error).__name__, error)
        return None


def cut(trace: Trace, layers: Iterable[str]) -> fx.GraphModule:
    """Return the network up to the last requested layer, with a dict by layer as output.

    Every earlier operation is kept, even where no layer depends on it, because it may act in place.
    """
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    wanted = {name: trace.outputs[name] for name in layers}
    awaited = {node for value in wanted.values() for node in _nodes(value)}
    kept: dict[fx.Node, fx.Node] = {}
    single = len(awaited) == 1  # nothing runs after a single layer, so nothing can overwrite its output
    for node in trace.graph.nodes:
        if len(kept) == len(awaited):
            break
        copies[node] = graph.node_copy(node, lambda n: copies[n])
        if node in awaited:
            kept[node] = copies[node] if single else graph.call_function(clone_tensors, (copies[node],))
    graph.output({name: fx.map_arg(value, lambda n: kept[n]) for name, value in wanted.items()})
    return fx.GraphModule(trace.root, graph)


def _nodes(value: Any) -> list[fx.Node]:
    found: list[fx.Node] = []
    fx.map_arg(value, lambda node: found.append(node) or node)
    return found
