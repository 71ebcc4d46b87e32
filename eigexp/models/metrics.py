"""Image metrics as models: distances between responses are the metric, so the Fisher information is its second-order form."""

from collections.abc import Sequence
from importlib import import_module
from importlib.resources import files
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from eigexp.errors import ModelError
from eigexp.models.features import Features
from eigexp.models.named import named
from eigexp.models.network import ImageNetwork
from eigexp.models.optional import optional_package

_TINY = 1e-10  # added to the norm over channels, as the published metric does
_LINEAR_FILES = {"vgg16": "vgg", "alexnet": "alex", "squeezenet1_1": "squeeze"}


class NormalizedLaplacianPyramid(nn.Module):
    """NLPD: six bands, each divided by the square root of its number of coefficients, so that F sums their mean squared differences.

    Laparra, Balle, Berardino and Simoncelli, "Perceptual image quality assessment using a normalized Laplacian pyramid", Electronic Imaging
    2016. The bands are computed by plenoptic. The published metric averages the square roots of those means, which is not quadratic.

    Raises:
        MissingDependencyError: if plenoptic is not installed.
    """

    name: ClassVar[str] = "nlpd"

    def __init__(self) -> None:
        super().__init__()
        self._pyramid = optional_package("plenoptic.process", "models").normalized_laplacian_pyramid
        self.eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the bands (b, c, h, w), fine to coarse, of images in [0, 1]; channels are independent."""
        return [band / (band.shape[-2] * band.shape[-1]) ** 0.5 for band in self._pyramid(x)]


class PerceptualFeatures(nn.Module):
    """LPIPS: activations of several layers, normalised over channels, weighted per channel, averaged over positions.

    The metric's distance between two images is the squared distance between these responses (Zhang, Isola, Efros, Shechtman and Wang, "The
    unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018, equation 1).

    Args:
        network: from `eigexp.models.zoo`, with its normalisation inside.
        layers: names of layers with outputs (b, channels, h, w).
        linear: for each layer non-negative weights (channels,); None weights all channels equally.

    Raises:
        ModelError: if a layer is unknown, or the weights do not fit.
    """

    def __init__(self, network: ImageNetwork, layers: Sequence[str], linear: Sequence[Tensor] | None = None) -> None:
        super().__init__()
        self.layers = tuple(layers)
        if linear is not None and len(linear) != len(self.layers):
            raise ModelError(f"model.linear has weights of {len(linear)} layers, but model.layers names {len(self.layers)}.")
        self._network = (network,)  # in a tuple, which hides it from nn.Module: only the part that runs shall be a child
        self.features = Features(network, self.layers)
        self.linear = nn.ParameterList([] if linear is None else [nn.Parameter(w.detach().clone(), requires_grad=False) for w in linear])
        self.eval()

    @property
    def architecture(self) -> str:
        """Name of the network's architecture."""
        return self._network[0].architecture

    @property
    def weights(self) -> str | None:
        """The chosen weights of the network, or None."""
        return self._network[0].weights

    def choose_weights(self, weights: str) -> None:
        """Choose the weights of the network; see `ImageNetwork.choose_weights`."""
        self._network[0].choose_weights(weights)
        self.features = Features(self._network[0], self.layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return a response (b, channels, h, w) for each layer, to images (b, c, h, w) in [0, 1]."""
        outputs = self.features(x)
        return [self._response(i, outputs[layer]) for i, layer in enumerate(self.layers)]

    def _response(self, i: int, y: Tensor) -> Tensor:
        if y.ndim != 4:
            raise ModelError(
                f"model.layers={self.layers[i]} returns {tuple(y.shape)}, not (b, channels, h, w). Choose a convolutional layer."
            )
        norm = (y.square().sum(dim=1, keepdim=True) + _TINY**2).sqrt()
        unit = y / (norm + _TINY) / (y.shape[2] * y.shape[3]) ** 0.5
        if not len(self.linear):
            return unit
        if self.linear[i].shape != y.shape[1:2]:
            raise ModelError(
                f"model.layers={self.layers[i]} has {y.shape[1]} channels, but {len(self.linear[i])} weights. Choose other layers."
            )
        return unit * self.linear[i].sqrt().view(-1, 1, 1)


@named("lpips")
def perceptual_features(
    layers: Sequence[str],
    architecture: str = "vgg16",
    linear: Literal["ones", "lpips"] = "lpips",
    library: Literal["torchvision", "timm", "efficientnet_lite0"] = "torchvision",
    weights: str | None = None,
    seed: int = 0,
) -> PerceptualFeatures:
    """Build LPIPS over layers of a library network.

    Args:
        layers: names of layers.
        architecture: name in the library's list.
        linear: "lpips" for weights fitted to human judgements (those of the lpips package, version 0.1, for vgg16, alexnet and
            squeezenet1_1); "ones" for equal weights.
        library: source of the network.
        weights: of the network; see `eigexp.models.zoo`.
        seed: of its random weights.

    Raises:
        ModelError: if the network is unknown, or has no fitted weights.
        MissingDependencyError: if a package is not installed.
    """
    zoo = import_module("eigexp.models.zoo")
    if library == "efficientnet_lite0":
        network = zoo.efficientnet_lite0(weights, seed)
    else:
        network = getattr(zoo, f"{library}_model")(architecture, weights, seed)
    return PerceptualFeatures(network, layers, _fitted(architecture) if linear == "lpips" else None)


def _fitted(architecture: str) -> list[Tensor]:
    """Return the published weights of each layer."""
    if architecture not in _LINEAR_FILES:
        raise ModelError(
            f"model.linear=lpips has no weights for {architecture}, only for {', '.join(_LINEAR_FILES)}. Set model.linear=ones."
        )
    optional_package("lpips", "metrics")
    file = files("lpips").joinpath("weights", "v0.1", f"{_LINEAR_FILES[architecture]}.pth")
    with file.open("rb") as stream:
        state = torch.load(stream, map_location="cpu", weights_only=True)
    return [state[f"lin{i}.model.1.weight"].flatten() for i in range(len(state))]
