"""What the nodes of a configuration must make, and the objects that they make."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from eigexp.config.instantiate import Kind, construct
from eigexp.images import ImageSource
from eigexp.noise import Noise
from eigexp.norm import Norm
from eigexp.solvers.base import Solver
from eigexp.subspace import PixelSubspace

if TYPE_CHECKING:
    from eigexp.training.settings import SolveSettings

# Names for what needs Lightning, which takes most of a command's start: a plan that constructs none of it need not import it.
KINDS: dict[str, Kind] = {
    "model": Kind(nn.Module, "a model", "a torch.nn.Module, or a function that returns one", required=True),
    "images": Kind(ImageSource, "an image source", "a subclass of eigexp.images.ImageSource", required=True),
    "noise": Kind(Noise, "a noise", "a subclass of eigexp.noise.Noise"),
    "norm": Kind(Norm, "a norm", "a subclass of eigexp.norm.Norm"),
    "subspace": Kind(PixelSubspace, "a pixel subspace", "a subclass of eigexp.subspace.PixelSubspace"),
    "solver": Kind(Solver, "a solver", "a subclass of eigexp.solvers.Solver", required=True),
    "callbacks": Kind("lightning.pytorch.Callback", "a callback", "a lightning.pytorch.Callback"),
    "logger": Kind("lightning.pytorch.loggers.Logger", "a logger", "a lightning.pytorch.loggers.Logger"),
    "trainer": Kind("lightning.pytorch.Trainer", "a Trainer", "a lightning.pytorch.Trainer, or a function that returns one", required=True),
}


def build(node: Mapping[str, Any] | None, path: str, **more: Any) -> Any:
    """Return the object of a node, checked to be what its place asks for; None for an empty node where nothing is required.

    Args:
        node: plain values with a `_target_`.
        path: where it stands: "solver", "callbacks.curves", ...
        more: further arguments, not from the configuration.

    Raises:
        ConfigurationError: if it cannot be made, or is of another kind.
    """
    return construct(node, path, kind=KINDS[path.partition(".")[0]], **more)


def solve_settings(config: Mapping[str, Any]) -> "SolveSettings":
    """Return the settings with which the tasks of a configuration are solved."""
    from eigexp.training.settings import SolveSettings

    return SolveSettings(
        build(config["solver"], "solver"),
        config["linearise"],
        config.get("certify", "float64"),
        build(config["noise"], "noise"),
        build(config["subspace"], "subspace"),
        config["seed"],
        config.get("cuda_graph", False),
    )


def build_group(nodes: Mapping[str, Any] | None, group: str) -> list[Any]:
    """Return the objects of a group that holds several nodes by name, such as callbacks; empty nodes are left out."""
    return [build(node, f"{group}.{name}") for name, node in (nodes or {}).items() if node]
