"""Layers by forward hooks, which work for networks that cannot be traced."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from eigexp.errors import ModelError


class _Stop(Exception):
    """Every requested layer has run."""


class HookedLayers(nn.Module):
    """Runs a network until every requested layer has run; with `partial`, to its end, and returns the layers that ran, in that order."""

    def __init__(self, network: nn.Module, layers: Iterable[str], partial: bool = False) -> None:
        super().__init__()
        self.network = network
        self.layers = tuple(layers)
        self.partial = partial

    def forward(self, x: Tensor) -> dict[str, Any]:
        """Return the outputs by layer; of a module that runs several times, the first.

        Raises:
            ModelError: if the forward pass does not run a layer.
        """
        seen: dict[str, Any] = {}
        handles = [self.network.get_submodule(name).register_forward_hook(self._hook(name, seen)) for name in self.layers]
        try:
            self.network(x)
        except _Stop:
            pass  # every requested output is in `seen`; the rest of the network need not run
        finally:
            for handle in handles:
                handle.remove()
        if self.partial:
            return seen
        missing = [name for name in self.layers if name not in seen]
        if missing:
            raise ModelError(f"model.layer={missing[0]} is not used in the forward pass of this model. Choose another layer.")
        return {name: seen[name] for name in self.layers}

    def _hook(self, name: str, seen: dict[str, Any]) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            seen.setdefault(name, clone_tensors(output))
            if len(seen) == len(self.layers) and not self.partial:
                raise _Stop

        return hook


def clone_tensors(output: Any) -> Any:
    """Copy the tensors in any nesting of tuples, lists and dicts, so that later in-place operations do not change them."""
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
