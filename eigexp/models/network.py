"""A network from a library, with its normalisation inside and its choice of weights open until it is made."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from eigexp.errors import ModelError
from eigexp.models.weights import load_weights

log = logging.getLogger(__name__)


@runtime_checkable
class ChoosesWeights(Protocol):
    """A model that is built before its weights are chosen."""

    @property
    def architecture(self) -> str:
        """Its name, for messages."""
        ...

    @property
    def weights(self) -> str | None:
        """The choice that was made, or None."""
        ...

    def choose_weights(self, weights: str) -> None:
        """Take "default" or "imagenet" (the library's own weights), "random" (those it was built with), or a local file."""
        ...


class Normalise(nn.Module):
    """(x - mean) / std a channel: the statistics with which a network's weights were trained."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean)).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std)).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Images (b, c, h, w) in [0, 1], normalised.

        Raises:
            ModelError: if the images do not have the channels that the weights were trained with.
        """
        if x.ndim != 4 or x.shape[1] != len(self.mean):
            cure = "Set images.grey=false." if len(self.mean) == 3 else "Set images.grey=true."
            raise ModelError(f"this network takes images of shape (b, {len(self.mean)}, h, w), but got {tuple(x.shape)}. {cure}")
        return (x - self.mean.to(x.dtype)) / self.std.to(x.dtype)


class ImageNetwork(nn.Module):
    """A network that takes images in [0, 1] and normalises them itself.

    It is built with seeded random weights; `choose_weights` decides on the ones that are used.

    Args:
        network: the network alone, whose layers keep the names that its library gives them.
        mean: a channel.
        std: a channel.
        architecture: its name, for messages.
        pretrained: builds the network with its library's own weights; may need the internet.
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
        """The network's own output for images (b, c, h, w) in [0, 1]."""
        return self.network(self.normalise(x))

    def choose_weights(self, weights: str) -> None:
        """Take "default" or "imagenet" (the library's own weights), "random" (those it was built with), or a local file.

        Raises:
            ModelError: if the weights cannot be fetched, read, or belong to another architecture.
        """
        if weights == "random":
            log.warning("%s has random weights: its eigendistortions say nothing of a trained network.", self.architecture)
        elif weights in ("default", "imagenet"):
            self.network = self._fetch()
        else:
            load_weights(self.network, weights)
        self.weights = weights

    def _fetch(self) -> nn.Module:
        try:
            return self._pretrained()
        except (OSError, RuntimeError) as error:  # URLError, HTTPError and the hub's errors are OSErrors; a bad hash is a RuntimeError
            first = str(error).partition("\n")[0][:200]
            raise ModelError(
                f"model.weights=default: the weights of {self.architecture} could not be fetched ({type(error).__name__}: {first}). "
                "Set model.weights=path to a local file, or model.weights=random."
            ) from error
