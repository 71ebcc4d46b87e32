"""A library network that includes its normalisation, and whose weights can be chosen after it is built."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from eigexp.errors import ModelError
from eigexp.models.weights import load_weights

log = logging.getLogger(__name__)


@runtime_checkable
class ChoosesWeights(Protocol):
    """A model whose weights are chosen after it is built."""

    @property
    def architecture(self) -> str:
        """Name, for messages."""
        ...

    @property
    def weights(self) -> str | None:
        """The chosen weights, or None."""
        ...

    def choose_weights(self, weights: str | Mapping[str, Any]) -> None:
        """Load "default" or "imagenet" (the library's pretrained weights), "random" (those it was built with), or a local file."""
        ...


class Normalise(nn.Module):
    """(x - mean) / std per channel, with the statistics that the network was trained with."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean)).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std)).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise images (b, c, h, w) in [0, 1].

        Raises:
            ModelError: if the images have another number of channels than the statistics.
        """
        if x.ndim != 4 or x.shape[1] != len(self.mean):
            hint = "Set images.grey=false." if len(self.mean) == 3 else "Set images.grey=true."
            raise ModelError(f"this network takes images of shape (b, {len(self.mean)}, h, w), but got {tuple(x.shape)}. {hint}")
        return (x - self.mean.to(x.dtype)) / self.std.to(x.dtype)


class ImageNetwork(nn.Module):
    """A network that takes images in [0, 1] and normalises them itself.

    It is built with seeded random weights; `choose_weights` replaces them.

    Args:
        network: the library's network; its layers keep their names.
        mean: per channel.
        std: per channel.
        architecture: name, for messages.
        pretrained: builds the network with the library's pretrained weights; may need the internet.
    """

    def __init__(
        self, network: nn.Module, mean: Sequence[float], std: Sequence[float], *, architecture: str, pretrained: Callable[[], nn.Module]
    ) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.network = network
        self.architecture = architecture
        self.weights: str | None = None
        self._pretrained = pretrained
        self.eval()

    def forward(self, x: Tensor) -> Any:
        """Return the network's output for images (b, c, h, w) in [0, 1]."""
        return self.network(self.normalise(x))

    def choose_weights(self, weights: str | Mapping[str, Any]) -> None:
        """Load "default" or "imagenet" (the library's pretrained weights), "random" (those it was built with), or a local file.

        Raises:
            ModelError: if the weights cannot be downloaded or read, or belong to another architecture.
        """
        if weights == "random":
            log.warning("%s has random weights: its eigendistortions say nothing about a trained network.", self.architecture)
        elif weights in ("default", "imagenet"):
            self.network = self._fetch()
        else:
            load_weights(self.network, weights)
        self.weights = weights if isinstance(weights, str) else str(weights.get("path"))

    def _fetch(self) -> nn.Module:
        try:
            return self._pretrained()
        except (OSError, RuntimeError) as error:  # URLError, HTTPError and the hub's errors are OSErrors; a bad hash is a RuntimeError
            first = str(error).partition("\n")[0][:200]
            raise ModelError(
                f"model.weights=default: the weights of {self.architecture} could not be downloaded ({type(error).__name__}: {first}). "
                "Set model.weights=path to a local file, or model.weights=random."
            ) from error
