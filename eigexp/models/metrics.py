"""Image metrics as models: the response is the vector in which a metric measures distances, the Fisher information the metric's form."""

from collections.abc import Sequence
from importlib import import_module
from importlib.resources import files
from typing import Any, Literal

import torch
from torch import Tensor, nn

from eigexp.errors import MissingDependencyError, ModelError
from eigexp.models.features import Features
from eigexp.models.network import ImageNetwork

_TINY = 1e-10  # added to the norm over channels, as the published metric does
_LINEAR_FILES = {"vgg16": "vgg", "alexnet": "alex", "squeezenet1_1": "squeeze"}


class NormalizedLaplacianPyramid(nn.Module):
    """NLPD: its six bands, each over the root of its number of coefficients, so that F sums the bands' mean squared differences.

    Laparra, Balle, Berardino and Simoncelli, "Perceptual image quality assessment using a normalized Laplacian pyramid", Electronic Imaging
    2016. The bands are plenoptic's. The metric itself averages the roots of those means, which no quadratic form describes.

    Raises:
        MissingDependencyError: if plenoptic is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pyramid = _package("plenoptic.process", "models").normalized_laplacian_pyramid
        self.eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        """Bands (b, c, h, w), fine to coarse, of images in [0, 1]; each channel by itself."""
        return [band / (band.shape[-2] * band.shape[-1]) ** 0.5 for band in self._pyramid(x)]


class PerceptualFeatures(nn.Module):
    """LPIPS: activations of several layers of a network, of unit norm over channels, weighted a channel and averaged over positions.

    The metric's distance between two images is the squared distance between these responses (Zhang, Isola, Efros, Shechtman and Wang, "The
    unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018, equation 1).

    Args:
        network: with its normalisation inside; made by `eigexp.models.zoo`.
        layers: whose outputs (b, channels, h, w) count.
        linear: weights a layer, (channels,), not negative; None weighs all channels alike.

    Raises:
        ModelError: if a layer is unknown, or the weights do not fit.
    """

    def __init__(self, network: ImageNetwork, layers: Sequence[str], linear: Sequence[Tensor] | None = None) -> None:
        super().__init__()
        self.layers = tuple(layers)
        if linear is not None and len(linear) != len(self.layers):
            raise ModelError(f"model.linear has weights of {len(linear)} layers, but model.layers names {len(self.layers)}.")
        self._network = (network,)  # in a tuple, so that only the part of it that runs is a child
        self.features = Features(network, self.layers)
        self.linear = nn.ParameterList([] if linear is None else [nn.Parameter(w.detach().clone(), requires_grad=False) for w in linear])
        self.eval()

    @property
    def architecture(self) -> str:
        """The network's."""
        return self._network[0].architecture

    @property
    def weights(self) -> str | None:
        """The choice of weights that was made for the network, or None."""
        return self._network[0].weights

    def choose_weights(self, weights: str) -> None:
        """As the network's."""
        self._network[0].choose_weights(weights)
        self.features = Features(self._network[0], self.layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        """A response (b, channels, h, w) a layer, to images (b, c, h, w) in [0, 1]."""
        outputs = self.features(x)
        return [self._response(i, outputs[layer]) for i, layer in enumerate(self.layers)]

    def _response(self, i: int, y: Tensor) -> Tensor:
        if y.ndim != 4:
            raise ModelError(
                f"model.layers={self.layers[i]} gives {tuple(y.shape)}, not (b, channels, h, w). Choose a layer with positions."
            )
        norm = (y.square().sum(dim=1, keepdim=True) + _TINY**2).sqrt()
        unit = y / (norm + _TINY) / (y.shape[2] * y.shape[3]) ** 0.5
        if not len(self.linear):
            return unit
        if self.linear[i].shape != y.shape[1:2]:
            raise ModelError(
                f"the weights of {self.layers[i]} are for {len(self.linear[i])} channels, but it has {y.shape[1]}. Choose other layers."
            )
        return unit * self.linear[i].sqrt().view(-1, 1, 1)


def perceptual_features(
    layers: Sequence[str],
    architecture: str = "vgg16",
    linear: Literal["ones", "lpips"] = "lpips",
    library: Literal["torchvision", "timm", "efficientnet_lite0"] = "torchvision",
    weights: str | None = None,
    seed: int = 0,
) -> PerceptualFeatures:
    """LPIPS over layers of a network from a library.

    Args:
        layers: whose outputs count.
        architecture: as the library lists it.
        linear: "lpips" for the weights that were fitted to human judgements (the lpips package's, version 0.1; for vgg16, alexnet and
            squeezenet1_1), "ones" for none.
        library: where the network comes from.
        weights: of the network; see `eigexp.models.zoo`.
        seed: of its random weights.

    Raises:
        ModelError: if there is no such network or no fitted weights of it.
        MissingDependencyError: if a package is not installed.
    """
    zoo = import_module("eigexp.models.zoo")
    if library == "efficientnet_lite0":
        network = zoo.efficientnet_lite0(weights, seed)
    else:
        network = getattr(zoo, f"{library}_model")(architecture, weights, seed)
    return PerceptualFeatures(network, layers, _fitted(architecture) if linear == "lpips" else None)


def _fitted(architecture: str) -> list[Tensor]:
    """The metric's published weights of each layer."""
    if architecture not in _LINEAR_FILES:
        raise ModelError(
            f"model.linear=lpips: no weights were fitted for {architecture}, only for {', '.join(_LINEAR_FILES)}. Set model.linear=ones."
        )
    _package("lpips", "metrics")
    file = files("lpips").joinpath("weights", "v0.1", f"{_LINEAR_FILES[architecture]}.pth")
    with file.open("rb") as stream:
        state = torch.load(stream, map_location="cpu", weights_only=True)
    return [state[f"lin{i}.model.1.weight"].flatten() for i in range(len(state))]


def _package(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"this model needs {name.partition('.')[0]}, which is not installed. Run: pip install 'eigexp[{extra}]'"
        ) from error
