"""Layers by forward hooks: works for every network that runs, traced or not."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from eigexp.errors import ModelError


class _Stop(Exception):
    """Every layer has been seen."""


class HookedLayers(nn.Module):
    """Runs a network until hooks have seen every layer once; with `partial`, to its end, and returns those seen, in that order."""

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
        if self.partial:
            return seen
        missing = [name for name in self.layers if name not in seen]
        if missing:
            raise ModelError(f"model.layer={missing[0]} is a part of the model that its forward pass does not run. Choose another layer.")
        return {name: seen[name] for name in self.layers}

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
