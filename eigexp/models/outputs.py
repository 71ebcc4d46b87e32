"""A part of a network's output, and a network after a normalisation, as models."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from eigexp.errors import ConfigurationError, ModelError, nearest
from eigexp.models.network import ImageNetwork

_STATISTICS = {"imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}  # per channel, of torchvision's and most other networks
PREPROCESSING = (None, "own", *_STATISTICS)


class SelectedOutput(nn.Module):
    """A network's output at a key: "last_hidden_state", "hidden_states.3", "0".

    Args:
        network: returns dicts, dataclasses, lists or tuples, nested in any way.
        key: keys, names of attributes or positions, with dots between levels.
    """

    def __init__(self, network: nn.Module, key: str | int) -> None:
        super().__init__()
        self.network, self.key = network, str(key)

    def forward(self, x: Tensor) -> Any:
        """Return the selected part for images (b, c, h, w).

        Raises:
            ModelError: if the output has no such part; the message names the existing ones.
        """
        value = self.network(x)
        for part in self.key.split("."):
            value = _part(value, part, self.key)
        return value


def preprocessed(network: nn.Module, preprocess: str | None) -> nn.Module:
    """Return the network after a normalisation of images in [0, 1], which is part of the derivative.

    Args:
        network: prepared.
        preprocess: "imagenet" for the statistics of ImageNet; "own" or None where the network normalises images itself, or needs none.

    Raises:
        ConfigurationError: if it is unknown.
    """
    if preprocess not in PREPROCESSING:
        raise ConfigurationError(f"model.preprocess={preprocess} is unknown. {nearest(str(preprocess), ['own', *_STATISTICS])}")
    if preprocess in (None, "own"):
        return network
    wrapped = ImageNetwork(network, *_STATISTICS[preprocess], architecture=type(network).__name__, pretrained=lambda: network)
    wrapped.weights = "own"  # they were loaded before
    return wrapped


def _part(value: Any, part: str, key: str) -> Any:
    if isinstance(value, Mapping) and part in value:
        return value[part]
    if isinstance(value, list | tuple) and part.lstrip("-").isdigit() and -len(value) <= int(part) < len(value):
        return value[int(part)]
    if not isinstance(value, Tensor) and not part.startswith("_") and getattr(value, part, None) is not None:
        return getattr(value, part)
    raise ModelError(f"model.output={key}: the model's output has no {part!r}. {_known(value)}")


def _known(value: Any) -> str:
    if isinstance(value, Tensor):
        return "It is a tensor. Set model.output=null."
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return f"Known: 0 to {len(value) - 1}."
    names = list(value) if isinstance(value, Mapping) else getattr(value, "_fields", None) or list(vars(value))
    return f"Known: {', '.join(map(str, names))}."
